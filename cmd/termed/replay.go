package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/termed/termed/ogsim"
	"github.com/termed/termed/ordergroove"
	"github.com/termed/termed/testdata"
	"github.com/termed/termed/webhook"
)

const (
	keyVariable = "ORDERGROOVE_WEBHOOK_KEY"
	ownDoor     = "http://127.0.0.1:8080" + webhook.Path
)

// recording is one payload to deliver.
type recording struct {
	name string // "-" for standard input
	body []byte
}

// courier delivers recordings to a running service.
type courier struct {
	env      environment
	url, key string
	dryRun   bool
}

func (c *courier) flags(cmd *cobra.Command) {
	cmd.Flags().StringVar(&c.url, "url", ownDoor, "where the service takes webhooks")
	cmd.Flags().StringVar(&c.key, "key", "", "the webhook key to sign with (default: the environment's "+keyVariable+")")
	cmd.Flags().BoolVar(&c.dryRun, "dry-run", false, "print the request as a curl line instead of sending it")
}

func replayCommand(env environment) *cobra.Command {
	c := &courier{env: env}
	cmd := &cobra.Command{
		Use:   "replay FILE…",
		Short: "Sign recorded payloads and deliver them to a running service",
		Long: `replay signs each FILE with the webhook key and posts it, as Ordergroove would. A folder stands for
its .json files in the order of their names, and - for standard input.`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			recordings, err := readRecordings(args, env.stdin)
			if err != nil {
				return err
			}
			return c.deliver(cmd.Context(), recordings)
		},
	}
	c.flags(cmd)
	return cmd
}

func triggerCommand(env environment) *cobra.Command {
	c := &courier{env: env}
	cmd := &cobra.Command{
		Use:       "trigger TYPE",
		Short:     "Make up an event of a type and deliver it to a running service",
		ValidArgs: ordergroove.EventTypes(),
		Args:      cobra.MatchAll(cobra.ExactArgs(1), cobra.OnlyValidArgs),
		RunE: func(cmd *cobra.Command, args []string) error {
			event, err := ogsim.New(ogsim.Options{Payloads: testdata.Webhooks()}).Make(args[0])
			if err != nil {
				return err
			}
			// Its id must be its own in every run, or the second trigger would be a duplicate.
			var payload map[string]json.RawMessage
			if err := json.Unmarshal(event.Body, &payload); err != nil {
				return err
			}
			payload["id"] = json.RawMessage(fmt.Sprintf(`"evt_%x"`, time.Now().UnixNano()))
			body, err := json.Marshal(payload)
			if err != nil {
				return err
			}
			return c.deliver(cmd.Context(), []recording{{args[0], body}})
		},
	}
	c.flags(cmd)
	return cmd
}

func (c *courier) deliver(ctx context.Context, recordings []recording) error {
	if c.key == "" {
		c.key, _ = c.env.lookup(keyVariable)
	}
	if c.key == "" {
		return exit{2, "no key to sign with: set " + keyVariable + " to the service's webhook key, or give --key"}
	}
	sender := ogsim.Sender{URL: c.url, Keys: []string{c.key}}
	refused := 0
	for _, r := range recordings {
		if c.dryRun {
			fmt.Fprintln(c.env.stdout, curlLine(c.url, r, ordergroove.Sign(time.Now(), r.body, c.key)))
			continue
		}
		reply := sender.Deliver(ctx, ogsim.Event{Body: r.body})
		if reply.Err != nil {
			fmt.Fprintf(c.env.stdout, "%s: not delivered: %v\n", r.name, reply.Err)
		} else {
			fmt.Fprintf(c.env.stdout, "%s: %d %s\n", r.name, reply.Status, reply.Body)
		}
		if !reply.OK() {
			refused++
		}
	}
	if refused > 0 {
		return exit{1, fmt.Sprintf("%d of %d were not taken", refused, len(recordings))}
	}
	return nil
}

// curlLine is the request as a shell takes it. The signature goes stale with the service's age window.
func curlLine(url string, r recording, signature string) string {
	data := "@" + r.name
	if _, err := os.Stat(r.name); err != nil && r.name != "-" {
		data = string(r.body) // made up: there is no file
	}
	return fmt.Sprintf("curl -X POST %s -H 'Content-Type: application/json' -H %s --data-binary %s",
		quote(url), quote(ordergroove.SignatureHeader+": "+signature), quote(data))
}

func quote(s string) string {
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}

// readRecordings reads everything before anything is sent.
func readRecordings(names []string, stdin io.Reader) ([]recording, error) {
	var recordings []recording
	for _, name := range names {
		files := []string{name}
		if info, err := os.Stat(name); err == nil && info.IsDir() {
			if files, err = filepath.Glob(filepath.Join(name, "*.json")); err != nil {
				return nil, err
			}
			if len(files) == 0 {
				return nil, fmt.Errorf("%s holds no .json file", name)
			}
			slices.Sort(files)
		}
		for _, file := range files {
			read := os.ReadFile
			if file == "-" {
				read = func(string) ([]byte, error) { return io.ReadAll(stdin) }
			}
			body, err := read(file)
			if err != nil {
				return nil, err
			}
			recordings = append(recordings, recording{file, body})
		}
	}
	return recordings, nil
}
