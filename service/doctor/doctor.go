// Package doctor examines an installation: what must hold for termed to work, in the order in which newcomers get it
// wrong. It changes nothing at Ordergroove.
package doctor

import (
	"context"
	"fmt"
	"time"

	"github.com/termed/termed/config"
	"github.com/termed/termed/ordergroove"
	"github.com/termed/termed/store"
)

// Level is how bad a finding is.
type Level string

const (
	OK      Level = "OK"
	Warn    Level = "WARN"    // it works, and a person should know
	Error   Level = "ERROR"   // something does not work
	Skipped Level = "SKIPPED" // it could not be examined
)

// Finding is what was found about one thing.
type Finding struct {
	Number int    `json:"number"`
	Check  string `json:"check"`
	Level  Level  `json:"level"`
	Says   string `json:"says"`
	Do     string `json:"do,omitempty"` // what puts it right
}

// Installation is what is examined.
type Installation struct {
	Config    config.Config
	Client    *ordergroove.Client
	Store     *store.Store // nil: it could not be opened
	StoreErr  error        // why
	PublicURL string       // where Ordergroove sends its webhooks; "" is not known
	Now       func() time.Time

	refused bool // Ordergroove refuses the key, whatever it is asked for
}

// answerWithin is how long one check may take.
const answerWithin = 10 * time.Second

// check examines one thing.
type check struct {
	name    string
	examine func(context.Context, *Installation) Finding
}

// checks are all there are, in their order. Those of the database and its disk are made at every start of the service,
// too: what else there is the service finds out by itself.
var checks = []check{
	{"configuration", examineConfig},
	{"database", examineDatabase},
	{"free disk space", examineDisk},
	{"API key", examineKey},
	{"clock", examineClock},
	{"Bulk Operations", examineBulk},
	{"listeners", examineListeners},
	{"public URL", examinePublicURL},
	{"webhooks", examineWebhooks},
	{"items of orders", examineItems},
	{"API calls", examineHeadroom},
	{"backup", examineBackup},
}

// Examine makes all checks, one after the other.
func Examine(ctx context.Context, in Installation) []Finding { return examine(ctx, in, checks) }

// ExamineStart makes the checks of every start.
func ExamineStart(ctx context.Context, in Installation) []Finding {
	return examine(ctx, in, checks[1:3])
}

func examine(ctx context.Context, in Installation, all []check) []Finding {
	if in.Now == nil {
		in.Now = time.Now
	}
	findings := make([]Finding, 0, len(all))
	for i, c := range all {
		limited, cancel := context.WithTimeout(ctx, answerWithin)
		f := c.examine(limited, &in)
		cancel()
		f.Number, f.Check = i+1, c.name
		findings = append(findings, f)
	}
	return findings
}

// Failed says whether anything does not work.
func Failed(findings []Finding) bool {
	for _, f := range findings {
		if f.Level == Error {
			return true
		}
	}
	return false
}

func ok(format string, args ...any) Finding {
	return Finding{Level: OK, Says: fmt.Sprintf(format, args...)}
}

func skipped(format string, args ...any) Finding {
	return Finding{Level: Skipped, Says: fmt.Sprintf(format, args...)}
}

func warning(do, format string, args ...any) Finding {
	return Finding{Level: Warn, Says: fmt.Sprintf(format, args...), Do: do}
}

func failure(do, format string, args ...any) Finding {
	return Finding{Level: Error, Says: fmt.Sprintf(format, args...), Do: do}
}
