package store_test

import (
	"errors"
	"fmt"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/termed/termed/counter"
	"github.com/termed/termed/store"
)

// A running shop, moved there and back: the same pages, the same inbox, the same journal, and the work goes on.
func TestCopy(t *testing.T) {
	ways := map[string]func(*testing.T) string{
		"SQLite to SQLite":     func(t *testing.T) string { return filepath.Join(t.TempDir(), "second.db") },
		"SQLite to PostgreSQL": newPostgres,
	}
	for name, way := range ways {
		t.Run(name, func(t *testing.T) {
			first := open(t, filepath.Join(t.TempDir(), "first.db"))
			for i := range 700 { // more than one batch
				id := fmt.Sprintf("s-%d é_Z", i)
				learn(t, first, fmt.Sprintf("e%d", i), counter.Facts{
					Enrolments: []counter.Enrolment{enrolment(id)}, Shipments: []counter.Shipment{shipment(id, "o1")}, OrderRead: fmt.Sprintf("o%d", i),
				}, int64(i))
			}
			if _, err := first.Append(t.Context(), event("pending", 5)); err != nil {
				t.Fatal(err)
			}
			if err := first.Post(t.Context(), []counter.Post{{ID: "msg_1", Endpoint: "e", Type: counter.Silence, At: 7, Body: []byte("{}")}}); err != nil {
				t.Fatal(err)
			}
			second := open(t, way(t))
			there, err := store.Copy(t.Context(), first, second, false)
			if err != nil {
				t.Fatal(err)
			}
			if got := fmt.Sprint(there[0].Rows, there[1].Rows, there[2].Rows, there[3].Rows, there[4].Rows, there[7].Rows); got != "701 700 700 1 700 1400" {
				t.Errorf("rows = %s", got)
			}
			if _, err := store.Copy(t.Context(), first, second, false); !errors.Is(err, store.ErrNotEmpty) {
				t.Errorf("a second copy = %v, want ErrNotEmpty", err)
			}
			back := open(t, filepath.Join(t.TempDir(), "back.db"))
			again, err := store.Copy(t.Context(), second, back, false)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(there, again); diff != "" {
				t.Errorf("there and back (-there +back):\n%s", diff)
			}
			if _, err := store.Copy(t.Context(), first, back, true); err != nil {
				t.Errorf("emptied first: %v", err)
			}
			before, err := first.Subscriptions(t.Context(), "")
			if err != nil {
				t.Fatal(err)
			}
			after, err := second.Subscriptions(t.Context(), "")
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(before[:50], after[:50]); diff != "" {
				t.Errorf("pages (-first +second):\n%s", diff)
			}
			if due, err := second.ClaimEvents(t.Context(), 1e6, 2e6, 10); err != nil || len(due) != 1 {
				t.Errorf("due = %v, %v; want the pending event", due, err)
			}
			claim(t, second, 1e6, 100)
		})
	}
}
