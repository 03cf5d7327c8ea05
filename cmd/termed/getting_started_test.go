package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"
)

// step is a command of a document, with what it prints there.
type step struct {
	command string
	prints  []string
}

// steps are the commands of a document, in their order.
func steps(text string) []step {
	var all []step
	for _, block := range regexp.MustCompile("(?s)```console\n(.*?)```").FindAllStringSubmatch(text, -1) {
		document := false // the lines of a here-document
		for line := range strings.Lines(block[1]) {
			line = strings.TrimSuffix(line, "\n")
			command, isCommand := strings.CutPrefix(line, "$ ")
			switch {
			case isCommand && !document:
				all = append(all, step{command: command})
				document = strings.Contains(command, "<<")
			case document:
				all[len(all)-1].command += "\n" + line
				document = line != "END"
			default:
				all[len(all)-1].prints = append(all[len(all)-1].prints, line)
			}
		}
	}
	return all
}

// shows says whether an output is what a document shows: "…" stands for anything, alone on a line for any lines.
func shows(want []string, got string) bool {
	pattern := `(?s)^`
	for _, line := range want {
		switch quoted := regexp.QuoteMeta(line); {
		case line == "…":
			pattern += `.*`
		default:
			pattern += strings.ReplaceAll(quoted, "…", `[^\n]*`) + `\n?`
		}
	}
	return regexp.MustCompile(pattern + `\s*$`).MatchString(got)
}

// docs/getting-started.md is run word for word, in one shell, in an empty folder. Only the ports are others.
func TestGettingStarted(t *testing.T) {
	t.Log("FAULT | a newcomer follows the first page word for word | every command works, and prints what the page shows")
	t.Parallel()
	text, err := os.ReadFile("../../docs/getting-started.md")
	if err != nil {
		t.Fatal(err)
	}
	page := string(text)
	ports := map[string]string{}
	for _, port := range []string{"8080", "8081", "9090"} {
		_, ports[port], _ = strings.Cut(freeAddress(t), ":")
		page = strings.ReplaceAll(page, port, ports[port])
	}
	page = strings.ReplaceAll(page, "termed simulate >", fmt.Sprintf( // its defaults are the page's ports
		"termed simulate --listen 127.0.0.1:%s --deliver-to http://127.0.0.1:%s/webhooks/ordergroove >",
		ports["9090"], ports["8080"]))
	dir := t.TempDir()
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	bin := filepath.Join(dir, "bin")
	if err := os.MkdirAll(bin, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(program, filepath.Join(bin, "termed")); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	shell := exec.CommandContext(ctx, "bash")
	shell.Dir = dir
	shell.Env = append(os.Environ(), "PATH="+bin+":"+os.Getenv("PATH"))
	shell.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	shell.Cancel = func() error { return syscall.Kill(-shell.Process.Pid, syscall.SIGKILL) }
	input, err := shell.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	output, err := shell.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	var stderr lockedBuffer
	shell.Stderr = &stderr
	if err := shell.Start(); err != nil {
		t.Fatal(err)
	}
	afterTest(t, fmt.Sprintf("kill -9 -- -%d", shell.Process.Pid), nil)
	t.Cleanup(func() {
		cancel()
		_ = shell.Wait()
	})
	lines := bufio.NewScanner(output)
	run := func(command string) (status, printed string) {
		const end = "end of the command: "
		if _, err := io.WriteString(input, command+"\nstatus=$?; echo; echo '"+end+"'$status\n"); err != nil {
			t.Fatal(err)
		}
		for lines.Scan() {
			if status, ended := strings.CutPrefix(lines.Text(), end); ended {
				return status, printed
			}
			printed += lines.Text() + "\n"
		}
		return "", printed
	}
	wait := ""
	for _, s := range steps(page) {
		status, got := run(s.command)
		for again := 0; wait != "" && !shows(s.prints, got) && again < 10; again++ { // this machine is busier than theirs
			run(wait)
			status, got = run(s.command)
		}
		ended := strings.HasPrefix(s.command, "wait") // with the status of what was killed
		if status != "0" && !ended || !shows(s.prints, got) {
			t.Fatalf("%s\nstatus %q, prints:\n%s\nthe page shows:\n%s\n%s", s.command, status, got,
				strings.Join(s.prints, "\n"), stderr.String())
		}
		wait = ""
		if strings.HasPrefix(s.command, "sleep") {
			wait = s.command
		}
	}
	if err := input.Close(); err != nil {
		t.Fatal(err)
	}
}
