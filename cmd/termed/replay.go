package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/termed/termed/config"
	"github.com/termed/termed/ordergroove"
	"github.com/termed/termed/ordergroove/sim"
	"github.com/termed/termed/webhook"
)

const (
	keyVariable       = "ORDERGROOVE_WEBHOOK_KEY"
	defaultWebhookURL = "http://127.0.0.1:8080" + webhook.Path
)

func replayCommand(env environment) *cobra.Command {
	s := &payloadSender{env: env}
	cmd := &cobra.Command{
		Use:   "replay FILE…",
		Short: "Sign recorded payloads and deliver them to a running service",
		Long: `Signs each FILE with the webhook key and posts it, as Ordergroove would. A folder stands for its .json
files in the order of their names, and - for standard input. --subscription, --sku and --set make a recording
about your own subscription and SKU.

Exit code: 0 all were accepted; 1 error, or one was not; 2 usage.`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			payloads, err := readPayloads(args, env.stdin)
			if err != nil {
				return err
			}
			return s.deliver(cmd.Context(), payloads)
		},
	}
	s.flags(cmd)
	return cmd
}

// payload is one body to deliver.
type payload struct {
	name   string // of its file; "-" for standard input
	body   []byte
	edited bool // it is no longer what the file has
}

// payloadSender delivers payloads to a running service.
type payloadSender struct {
	env      environment
	url, key string
	dryRun   bool
	print    bool
	config   string
	edit     payloadEdit
}

func (s *payloadSender) flags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVar(&s.url, "url", defaultWebhookURL, "where the service receives webhooks")
	f.StringVar(&s.key, "key", "", "the webhook key to sign with (default: the variable "+keyVariable+")")
	f.BoolVar(&s.dryRun, "dry-run", false, "print the request as a curl command, and send nothing")
	f.BoolVar(&s.print, "print", false, "print the body, and send nothing")
	configFlag(cmd, &s.config)
	s.edit.flags(cmd)
}

// edited applies the edits to all payloads, before any is sent.
func (s *payloadSender) edited(payloads []payload) ([]payload, error) {
	all := make([]payload, len(payloads))
	for i, p := range payloads {
		body, err := s.edit.apply(p.body)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", p.name, err)
		}
		all[i] = payload{name: p.name, body: body, edited: !bytes.Equal(body, p.body)}
	}
	return all, nil
}

// prospect says what will come of a payload, where there is a configuration to tell by.
func (s *payloadSender) prospect(p payload) string {
	c, err := config.LoadWithoutSecrets(s.config, s.env.lookup)
	if err != nil {
		return ""
	}
	return prospect(p.body, c)
}

func (s *payloadSender) deliver(ctx context.Context, payloads []payload) error {
	payloads, err := s.edited(payloads)
	if err != nil {
		return err
	}
	if s.print {
		for _, p := range payloads {
			fmt.Fprintln(s.env.stdout, readable(p.body))
		}
		return nil
	}
	key, err := signingKey(s.env, s.key)
	if err != nil {
		return err
	}
	sender := sim.Sender{URL: s.url, Keys: []string{key}}
	refused := 0
	for _, p := range payloads {
		if s.dryRun {
			fmt.Fprintln(s.env.stdout, curlCommand(s.url, p, ordergroove.Sign(time.Now(), p.body, key)))
			continue
		}
		reply := sender.Deliver(ctx, sim.Event{Body: p.body})
		if reply.Err != nil {
			fmt.Fprintf(s.env.stdout, "%s: not delivered: %v\n", p.name, reply.Err)
		} else {
			fmt.Fprintf(s.env.stdout, "%s: %d %s\n", p.name, reply.Status, reply.Body)
		}
		if text := s.prospect(p); text != "" && reply.OK() {
			fmt.Fprintf(s.env.stderr, "%s: %s\n", p.name, text)
		}
		if !reply.OK() {
			refused++
		}
	}
	if refused > 0 {
		return exit{exitError, fmt.Sprintf("%d of %d were not accepted", refused, len(payloads))}
	}
	return nil
}

// signingKey is the key of the flag, or else of the environment.
func signingKey(env environment, flag string) (string, error) {
	if flag != "" {
		return flag, nil
	}
	if key, ok := env.lookup(keyVariable); ok && key != "" {
		return key, nil
	}
	return "", exit{exitUsage, "no key to sign with: set " + keyVariable + " to the service's webhook key, or use --key"}
}

// curlCommand is the request as a shell command. Its signature expires with the service's webhook.max_age.
func curlCommand(url string, p payload, signature string) string {
	data := "@" + p.name
	if _, err := os.Stat(p.name); err != nil && p.name != "-" || p.edited {
		data = string(p.body) // a made-up event has no file
	}
	return fmt.Sprintf("curl -X POST %s -H 'Content-Type: application/json' -H %s --data-binary %s",
		quote(url), quote(ordergroove.SignatureHeader+": "+signature), quote(data))
}

func quote(s string) string {
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}

// readPayloads reads everything before anything is sent.
func readPayloads(names []string, stdin io.Reader) ([]payload, error) {
	var payloads []payload
	for _, name := range names {
		files, err := payloadFiles(name)
		if err != nil {
			return nil, err
		}
		for _, file := range files {
			body, err := readPayload(file, stdin)
			if err != nil {
				return nil, err
			}
			payloads = append(payloads, payload{name: file, body: body})
		}
	}
	return payloads, nil
}

// payloadFiles are the .json files of a folder, or the file itself.
func payloadFiles(name string) ([]string, error) {
	info, err := os.Stat(name)
	if err != nil || !info.IsDir() {
		return []string{name}, nil //nolint:nilerr // reading it says what is wrong with it
	}
	files, err := filepath.Glob(filepath.Join(name, "*.json"))
	if err != nil {
		return nil, err
	}
	if len(files) == 0 {
		return nil, fmt.Errorf("the folder %s contains no .json file", name)
	}
	slices.Sort(files)
	return files, nil
}

func readPayload(file string, stdin io.Reader) ([]byte, error) {
	if file == "-" {
		return io.ReadAll(stdin)
	}
	return os.ReadFile(file)
}
