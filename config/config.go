// Package config owns termed.yaml: from the file to one checked struct. It reports every mistake at once, each with its
// place, what is wrong and what would be right. Only cmd imports it.
package config

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"slices"
	"strings"
	"time"
)

// Config is a whole configuration that has been checked.
type Config struct {
	Listen      string
	Console     Console
	Database    string // a file, or postgres://…
	Migrate     string // "auto" or "manual"
	Ordergroove Ordergroove
	Webhook     Webhook
	Keys        Keys
	KeepEvents  time.Duration // how long settled events are remembered
	Reconcile   Reconcile
	Notices     Notices
	Terms       []Term
}

// Console is where operators look.
type Console struct {
	Listen   string
	Password Secret
}

// Ordergroove is how to reach the API, and how to know its webhooks.
type Ordergroove struct {
	APIURL            string
	APIKey            Secret
	WebhookKeys       []Secret
	RequestsPerMinute int
}

// Webhook is what the door takes.
type Webhook struct {
	MaxAge   time.Duration
	MaxAhead time.Duration
	MaxBody  int           // bytes
	Silence  time.Duration // how long none may come before that is reported; 0: learned; negative: for ever
}

// Reconcile is how often everything is compared with Ordergroove.
type Reconcile struct {
	Every time.Duration // what was updated lately; 0: never
	Full  time.Duration // everything
}

// Keys names our members of a subscription's extra_data. Total, Made and Last are for themes; "" is off.
type Keys struct {
	Counter, Termed, Hide string
	Total, Made, Last     string
}

// Notices is who is told what comes about.
type Notices struct {
	LastShipmentDays int // the last shipment is announced so many days before its order is placed; 0: when one is left
	Endpoints        []Endpoint
}

// Endpoint is an address of the merchant's own that takes notices.
type Endpoint struct {
	Name    string
	URL     Secret // its path may be one
	Secrets []Secret
	Types   []string // none: all
	Private bool     // it may be http, and on an address that is not public
}

// Term is what a merchant sells.
type Term struct {
	Name          string
	SKUs          []string
	Shipments     int
	FirstShipment string // "checkout" or "recurring"
	CancelReason  string // "<code>|<details>", or ""
	KeepRenewal   bool   // leave the renewal behaviour of prepaid subscriptions as it is

	OnComplete     string            // "cancel", "renew", "release" or "swap"
	SwapTo         string            // for "swap": the product to go on with
	OnReactivation string            // "block", "new_term" or "release"
	OnSwap         string            // "keep" or "restart"
	Set            map[string]string // members of extra_data, as raw JSON by name
}

// Secret is a text that masks itself wherever it is printed, logged or marshalled; Reveal gives it.
type Secret string

const mask = "[secret]"

// Reveal returns the text itself.
func (s Secret) Reveal() string { return string(s) }

func (s Secret) String() string               { return mask }
func (s Secret) GoString() string             { return mask }
func (s Secret) LogValue() slog.Value         { return slog.StringValue(mask) }
func (s Secret) MarshalText() ([]byte, error) { return []byte(mask), nil }
func (s Secret) Format(f fmt.State, _ rune)   { _, _ = f.Write([]byte(mask)) }

// Problem is one mistake in a file.
type Problem struct {
	File         string
	Line, Column int // from 1; 0 where the file as a whole is wrong
	Text         string
}

func (p Problem) Error() string {
	if p.Line == 0 {
		return p.File + ": " + p.Text
	}
	return fmt.Sprintf("%s:%d:%d: %s", p.File, p.Line, p.Column, p.Text)
}

// Problems are all mistakes of a file, in the order of their places.
type Problems []Problem

func (p Problems) Error() string {
	lines := make([]string, len(p))
	for i, problem := range p {
		lines[i] = problem.Error()
	}
	return strings.Join(lines, "\n")
}

// Load reads and checks a file. The error is Problems. Lookup is os.LookupEnv, or a test's.
func Load(path string, lookup func(string) (string, bool)) (Config, error) {
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return Config{}, Problems{{File: path, Text: "there is no such file; `termed init` writes one to start from"}}
	}
	if err != nil {
		return Config{}, Problems{{File: path, Text: err.Error()}}
	}
	return Parse(path, text, lookup)
}

// Parse is Load for a text at hand; the name stands in the problems.
func Parse(name string, text []byte, lookup func(string) (string, bool)) (Config, error) {
	r := &reader{file: name, lookup: lookup}
	top := r.root(text)
	if len(r.problems) > 0 {
		return Config{}, Problems(r.problems) // what is not YAML has no settings to miss
	}
	c := r.config(top)
	if len(r.problems) > 0 {
		slices.SortStableFunc(r.problems, func(a, b Problem) int {
			if a.Line != b.Line {
				return a.Line - b.Line
			}
			return a.Column - b.Column
		})
		return Config{}, Problems(r.problems)
	}
	return c, nil
}
