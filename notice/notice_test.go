package notice_test

import (
	"encoding/json"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/termed/termed/counter"
	"github.com/termed/termed/notice"
)

const (
	secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
	second = "whsec_c2Vjb25kLXNlY3JldC0wMTIzNDU2Nzg5YWJj"
)

// anna is a subscription that the samples are about: two of three boxes made, one of them at the checkout.
func anna(changes ...func(*counter.Ledger)) counter.Ledger {
	l := counter.Ledger{
		Subscription: "51a3c0ffee51a3c0ffee51a3c0ffee51", Customer: "customer-4711", SKU: "GIFT-3MO", Term: "Three-month gift",
		State: counter.Active, Live: true, AtCheckout: 1, Due: 2, Made: 1, Sent: []int{2, 1},
	}
	for _, change := range changes {
		change(&l)
	}
	return l
}

func is(state counter.State, made int) func(*counter.Ledger) {
	return func(l *counter.Ledger) { l.State, l.Made = state, made }
}

// samples are a notice of each type, as docs/notices.md shows them.
func samples() []counter.Notice {
	at := time.Date(2026, 11, 20, 9, 30, 0, 0, time.UTC).UnixMilli()
	const order = "0a1b2c3d4e5f0a1b2c3d4e5f0a1b2c3d"
	days := func(n int) int64 { return at + int64(n)*24*time.Hour.Milliseconds() }
	return []counter.Notice{
		{Type: counter.TermStarted, At: at, Page: anna(is(counter.Active, 0))},
		{Type: counter.TermShipment, At: at, Page: anna(), Box: 2, Order: order},
		{Type: counter.LastShipmentNext, At: at, Page: anna(), Order: order, Place: days(3)},
		{Type: counter.TermCompleted, At: at, Page: anna(is(counter.Completed, 2))},
		{Type: counter.TermEnded, At: at, Page: anna(is(counter.Ended, 1)), Reason: "cancelled by somebody else with 1 to go"},
		{Type: counter.BlockedReactivation, At: at, Page: anna(is(counter.Completed, 2))},
		{Type: counter.ExtraOrder, At: at, Page: anna(is(counter.Completing, 2)), Order: order, Place: days(1)},
		{Type: counter.NeedsAttention, At: at, Page: anna(is(counter.Attention, 1)), Reason: "the counter in extra_data is not a number: set it right there, or remove it"},
		{Type: counter.Silence, At: at, Since: days(-1)},
	}
}

var block = regexp.MustCompile("(?s)```json\n(.*?)```")

// docs/notices.md shows what is sent, of each type, word for word.
func TestDocumented(t *testing.T) {
	text, err := os.ReadFile("../docs/notices.md")
	if err != nil {
		t.Fatal(err)
	}
	var shown []string
	for _, b := range block.FindAllStringSubmatch(string(text), -1) {
		shown = append(shown, b[1])
	}
	if len(shown) != len(counter.NoticeTypes) {
		t.Fatalf("docs/notices.md shows %d samples, there are %d types", len(shown), len(counter.NoticeTypes))
	}
	for i, n := range samples() {
		if n.Type != counter.NoticeTypes[i] {
			t.Errorf("sample %d is of %s, not %s", i, n.Type, counter.NoticeTypes[i])
		}
		var pretty strings.Builder
		body := notice.Body(n)
		encoder := json.NewEncoder(&pretty)
		encoder.SetIndent("", "  ")
		encoder.SetEscapeHTML(false)
		if err := encoder.Encode(json.RawMessage(body)); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(pretty.String(), shown[i]); diff != "" {
			t.Errorf("%s (-sent +docs):\n%s", n.Type, diff)
		}
		if !strings.Contains(string(text), "`"+n.Type+"`") {
			t.Errorf("docs/notices.md does not say what %s is", n.Type)
		}
	}
}

// A prepaid subscription is counted by Ordergroove: nothing is said of its count. Nothing is escaped that need not be.
func TestPrepaid(t *testing.T) {
	got := string(notice.Body(counter.Notice{Type: counter.TermCompleted, Page: anna(func(l *counter.Ledger) { l.Prepaid, l.SKU = true, "<A&B>" })}))
	want := `{"type":"term.completed","timestamp":"1970-01-01T00:00:00.000Z","data":{"subscription":"51a3c0ffee51a3c0ffee51a3c0ffee51","customer":"customer-4711","sku":"<A&B>","term":"Three-month gift","state":"active"}}`
	if got != want {
		t.Errorf("Body = %s\nwant   %s", got, want)
	}
}

// Who wants a type gets it, each in a post of its own under the same id.
func TestPosts(t *testing.T) {
	book, err := notice.NewBook([]notice.Endpoint{
		{Name: "all", URL: "https://example.com/a", Secrets: []string{secret}},
		{Name: "ends", URL: "https://example.com/b", Secrets: []string{secret, second}, Types: []string{counter.TermCompleted, counter.TermEnded}},
	})
	if err != nil {
		t.Fatal(err)
	}
	names := func(posts []counter.Post) (names []string) {
		for _, p := range posts {
			if !strings.HasPrefix(p.ID, "msg_") || p.ID != posts[0].ID || len(p.Body) == 0 {
				t.Errorf("post %+v", p)
			}
			names = append(names, p.Endpoint)
		}
		return names
	}
	ended := book.Posts(counter.Notice{Type: counter.TermEnded, Page: anna()})
	if got := names(ended); !slices.Equal(got, []string{"all", "ends"}) {
		t.Errorf("term.ended goes to %v", got)
	}
	if got := names(book.Posts(counter.Notice{Type: counter.TermShipment, Page: anna()})); !slices.Equal(got, []string{"all"}) {
		t.Errorf("term.shipment goes to %v", got)
	}
	if again := book.Posts(counter.Notice{Type: counter.TermEnded, Page: anna()}); again[0].ID == ended[0].ID {
		t.Error("two notices have one id")
	}
	silence := counter.Notice{ID: "silence-7", Type: counter.Silence}
	if got := book.Posts(silence)[0].ID; got != "msg_silence-7" {
		t.Errorf("id = %s", got)
	}
}

func TestNewBookRefuses(t *testing.T) {
	good := notice.Endpoint{Name: "a", URL: "https://example.com/", Secrets: []string{secret}}
	for what, change := range map[string]func(*notice.Endpoint){
		"no name":              func(e *notice.Endpoint) { e.Name = "" },
		"http":                 func(e *notice.Endpoint) { e.URL = "http://example.com/" },
		"another scheme":       func(e *notice.Endpoint) { e.URL, e.Private = "file:///etc/passwd", true },
		"no host":              func(e *notice.Endpoint) { e.URL = "https:///x" },
		"no secret":            func(e *notice.Endpoint) { e.Secrets = nil },
		"a short secret":       func(e *notice.Endpoint) { e.Secrets = []string{"whsec_c2hvcnQ="} },
		"a secret of no kind":  func(e *notice.Endpoint) { e.Secrets = []string{"MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"} },
		"a secret not base 64": func(e *notice.Endpoint) { e.Secrets = []string{"whsec_#################################"} },
	} {
		e := good
		change(&e)
		if _, err := notice.NewBook([]notice.Endpoint{e}); err == nil {
			t.Errorf("%s was taken", what)
		} else if strings.Contains(err.Error(), "c2hvcnQ") {
			t.Errorf("%s: the error quotes the secret: %v", what, err)
		}
	}
	if _, err := notice.NewBook([]notice.Endpoint{good, good}); err == nil {
		t.Error("two of one name were taken")
	}
	if _, err := notice.NewBook([]notice.Endpoint{good}); err != nil {
		t.Error(err)
	}
}
