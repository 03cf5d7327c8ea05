// Package config owns termed.yaml: it turns the file into one checked struct. It reports all mistakes at once, each
// with its position, what is wrong and what would be right. Only cmd imports it.
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

	"github.com/termed/termed/counter/schedule"
)

// Config is a complete configuration that has been checked.
type Config struct {
	Listen        string
	Console       Console
	Database      string // a file, or postgres://…
	DatabaseLine  int    // where the file sets it; 0: nowhere
	Migrate       string // "auto" or "manual"
	Mode          string // "live", or "observe": nothing is changed at Ordergroove
	Brake         Brake
	Ordergroove   Ordergroove
	Webhook       Webhook
	Keys          Keys
	KeepEvents    time.Duration // how long settled events are kept
	Reconcile     Reconcile
	Backup        Backup
	Notifications Notifications
	Timezone      string // the shop's, by its name in the IANA database
	Platform      string // "other" or "shopify"
	DiscountCodes map[string]DiscountCode
	Terms         []Term
	Unchecked     []string // the variables that have no value, if the file was read without an environment
}

// Brake is how many ends an hour nobody needs to have seen coming: the larger of a number and a percentage of the
// active enrollments.
type Brake struct {
	EndsPerHour int
	Percent     int
}

// Ordergroove is access to the API, and the keys that verify its webhooks.
type Ordergroove struct {
	APIURL            string
	APIKey            Secret
	WebhookKeys       []Secret
	RequestsPerMinute int    // of all services with one outgoing address
	OutgoingGroup     string // names that address, where not all services have the same
}

// Webhook is what the receiver accepts, and when the watchdog raises an alarm.
type Webhook struct {
	MaxAge   time.Duration
	MaxAhead time.Duration
	MaxBody  int           // bytes
	MaxGap   time.Duration // the longest time without a webhook; 0: learned; negative: no alarm

	PublicURL string // where Ordergroove sends its webhooks, for termed doctor; "" if the file does not say
}

// Reconcile is how often subscriptions are compared with Ordergroove.
type Reconcile struct {
	Every time.Duration // those updated recently; 0: never
	Full  time.Duration // all of them
}

// Backup is what the service backs up by itself, on SQLite.
type Backup struct {
	To    string // a folder; "": nothing
	Every time.Duration
	Keep  int // how many backups are kept
}

// Keys are the names of the managed keys in a subscription's extra_data. The last three are for themes; "" is
// off.
type Keys struct {
	Counter, Termed, Hide                       string
	ShipmentsTotal, ShipmentsMade, LastShipment string
}

// Notifications are outgoing webhooks.
type Notifications struct {
	LastShipmentDays int // days before the last order is placed to announce it; 0: when one shipment remains
	Endpoints        []Endpoint
}

// Endpoint is an address of the merchant's own that receives notifications.
type Endpoint struct {
	Name    string
	URL     Secret // its path may be secret
	Secrets []Secret
	Types   []string // empty: all
	Private bool     // the URL may be http, and may point to an address that is not public
}

// Term is what a merchant sells.
type Term struct {
	Name          string
	SKUs          []string
	Shipments     int
	FirstShipment string // "checkout" or "recurring"
	CancelReason  string // "<code>|<details>", or ""
	KeepRenewal   bool   // do not change the renewal behavior of prepaid subscriptions

	OnComplete     string            // "cancel", "renew", "release" or "swap"
	SwapTo         string            // for "swap": the SKU to continue with
	OnReactivation string            // "block", "new_term" or "release"
	OnSwap         string            // "keep" or "restart"
	Set            map[string]string // further keys of extra_data: raw JSON by name
	Adjustments    []schedule.Spec   // of single shipments of every subscription
}

// Secret is a string that is masked wherever it is printed, logged or marshaled; Reveal returns it.
type Secret string

const mask = "[secret]"

// Reveal returns the secret itself.
func (s Secret) Reveal() string { return string(s) }

// String returns a mask.
func (s Secret) String() string { return mask }

// GoString returns a mask.
func (s Secret) GoString() string { return mask }

// LogValue returns a mask.
func (s Secret) LogValue() slog.Value { return slog.StringValue(mask) }

// MarshalText returns a mask.
func (s Secret) MarshalText() ([]byte, error) { return []byte(mask), nil }

// Format writes a mask, whatever the verb.
func (s Secret) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(mask)) }

// Problem is one mistake in a file.
type Problem struct {
	File         string
	Line, Column int // from 1; 0 for a problem of the whole file
	Text         string
}

func (p Problem) Error() string {
	if p.Line == 0 {
		return p.File + ": " + p.Text
	}
	return fmt.Sprintf("%s:%d:%d: %s", p.File, p.Line, p.Column, p.Text)
}

// Problems are all mistakes in a file, ordered by position.
type Problems []Problem

func (p Problems) Error() string {
	lines := make([]string, len(p))
	for i, problem := range p {
		lines[i] = problem.Error()
	}
	return strings.Join(lines, "\n")
}

// Load reads and checks a file. An error is of type Problems. Lookup is os.LookupEnv, except in tests; without one,
// values with a variable that has no default are not checked, and the configuration is good to look at only.
func Load(path string, lookup func(string) (string, bool)) (Config, error) {
	return load(path, &reader{file: path, lookup: lookup})
}

// LoadWithoutSecrets is Load for what works with the database alone: keys and addresses of other systems stay empty
// where their variables are not set.
func LoadWithoutSecrets(path string, lookup func(string) (string, bool)) (Config, error) {
	return load(path, &reader{file: path, lookup: lookup, withoutSecrets: true})
}

func load(path string, r *reader) (Config, error) {
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return Config{}, Problems{{File: path, Text: "file not found; `termed init` writes one to start from"}}
	}
	if err != nil {
		return Config{}, Problems{{File: path, Text: err.Error()}}
	}
	return r.parse(text)
}

// Parse is Load for text in memory; the problems show name as the file.
func Parse(name string, text []byte, lookup func(string) (string, bool)) (Config, error) {
	return (&reader{file: name, lookup: lookup}).parse(text)
}

func (r *reader) parse(text []byte) (Config, error) {
	top := r.root(text)
	if len(r.problems) > 0 {
		return Config{}, Problems(r.problems) // without valid YAML every setting would be reported as missing
	}
	c := r.config(top)
	c.Unchecked = slices.Compact(slices.Sorted(slices.Values(r.unchecked)))
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

// Default is the configuration of a file that sets nothing. What is required is empty.
func Default() Config {
	r := &reader{}
	return r.config(r.section("", nil))
}
