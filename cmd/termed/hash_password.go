package main

import (
	"bufio"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"unicode/utf8"

	"github.com/spf13/cobra"
	"golang.org/x/crypto/bcrypt"
	"golang.org/x/term"
)

// The limits of a password: fewer characters can be guessed, and bcrypt takes no more bytes.
const (
	shortestPassword = 12
	longestPassword  = 72
)

// passwordCost makes a guess at a password cost about a quarter of a second.
const passwordCost = 12

func hashPasswordCommand(env environment) *cobra.Command {
	var token bool
	cmd := &cobra.Command{
		Use:   "hash-password",
		Short: "Print the hash of a password, or a new token, for the users and tokens of the console",
		Long: `Asks for a password, without showing it, and prints its bcrypt hash for console.users in termed.yaml.
If standard input is not a terminal, its first line is the password.

With --token, makes a random token for an application and prints it, and below it the line for
console.tokens in termed.yaml. The token is shown once: only its hash is kept.

Exit code: 0 the hash was printed; 1 error; 2 usage, or a password that is too short or too long.`,
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			if token {
				return printToken(env.stdout)
			}
			return hashPassword(env)
		},
	}
	cmd.Flags().BoolVar(&token, "token", false, "make a token for an application instead")
	return cmd
}

func hashPassword(env environment) error {
	password, err := readPassword(env)
	if err != nil {
		return err
	}
	if utf8.RuneCountInString(password) < shortestPassword {
		return exit{exitUsage, fmt.Sprintf("termed: the password is too short; use %d characters or more", shortestPassword)}
	}
	if len(password) > longestPassword {
		return exit{exitUsage, fmt.Sprintf("termed: the password is too long; use %d bytes or fewer", longestPassword)}
	}
	hash, err := bcrypt.GenerateFromPassword([]byte(password), passwordCost)
	if err != nil {
		return fmt.Errorf("hashing the password: %w", err)
	}
	_, err = fmt.Fprintf(env.stdout, "%s\n", hash)
	return err
}

// readPassword asks on a terminal, twice and without an echo, and reads one line elsewhere.
func readPassword(env environment) (string, error) {
	file, isFile := env.stdin.(*os.File)
	if !isFile || !term.IsTerminal(int(file.Fd())) {
		line, err := bufio.NewReader(io.LimitReader(env.stdin, 4096)).ReadString('\n')
		if err != nil && !errors.Is(err, io.EOF) {
			return "", fmt.Errorf("reading the password: %w", err)
		}
		return strings.TrimRight(line, "\r\n"), nil
	}
	password, err := askWithoutEcho(env.stderr, file, "password: ")
	if err != nil {
		return "", err
	}
	again, err := askWithoutEcho(env.stderr, file, "again: ")
	if err == nil && again != password {
		return "", exit{exitUsage, "termed: the passwords are not the same"}
	}
	return password, err
}

func askWithoutEcho(out io.Writer, terminal *os.File, question string) (string, error) {
	fmt.Fprint(out, question)
	answer, err := term.ReadPassword(int(terminal.Fd()))
	fmt.Fprintln(out)
	if err != nil {
		return "", fmt.Errorf("reading the password: %w", err)
	}
	return string(answer), nil
}

// printToken makes a token of 32 random bytes. Its prefix lets scanners find one that was committed by mistake.
func printToken(out io.Writer) error {
	random := make([]byte, 32)
	_, _ = rand.Read(random) // it never returns an error
	token := "termed_" + base64.RawURLEncoding.EncodeToString(random)
	_, err := fmt.Fprintf(out, "%s\nhash: %x\n", token, sha256.Sum256([]byte(token)))
	return err
}
