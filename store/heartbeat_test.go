package store_test

import (
	"testing"
	"time"

	"github.com/termed/termed/store"
)

// TestHeartbeat says that a running service on PostgreSQL renews its row, writes it again where it is gone, and deletes
// it when it stops.
func TestHeartbeat(t *testing.T) {
	where := newPostgres(t)
	s := open(t, where)
	id, stop, err := s.Beat(t.Context(), store.Options{Serve: true}, time.Millisecond)
	if err != nil {
		t.Fatal(err)
	}
	defer stop()
	db := openRaw(t, "PostgreSQL", where)
	for _, fault := range []string{`update services set until = 1 where id = $1`, `delete from services where id = $1`} {
		if _, err := db.Exec(fault, id); err != nil {
			t.Fatal(err)
		}
		for running, deadline := 0, time.Now().Add(10*time.Second); running == 0; {
			if err := db.Get(&running, `select count(*) from services where id = $1 and until > 1`, id); err != nil {
				t.Fatal(err)
			}
			if time.Now().After(deadline) {
				t.Fatalf("the row was not renewed after %q", fault)
			}
		}
	}
	stop()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	var left int
	if err := db.Get(&left, `select count(*) from services`); err != nil || left > 0 {
		t.Errorf("%d rows are left, %v", left, err)
	}
}

// TestShares says among how many processes the limit of API calls is divided: those of the same outgoing address and
// kind that are running. A newcomer waits until the others know of it.
func TestShares(t *testing.T) {
	t.Log("FAULT | instances of one outgoing address come, go and are killed | I9: the limit is divided among those there")
	where := newPostgres(t)
	s := open(t, where)
	type process struct {
		id   string
		stop func()
		seen chan int
	}
	begin := func(serve bool, group string) process {
		p := process{seen: make(chan int, 10_000)}
		var err error
		p.id, p.stop, err = s.Beat(t.Context(), store.Options{
			Serve: serve,
			Group: group,
			Share: func(among int, until time.Time) {
				if lasts := time.Until(until); lasts > 30*time.Second || lasts < 10*time.Second {
					t.Errorf("a share lasts %v", lasts)
				}
				p.seen <- among
			},
		}, 20*time.Millisecond)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(p.stop)
		return p
	}
	expect := func(what string, p process, want ...int) {
		t.Helper()
		late := time.After(10 * time.Second)
		for len(want) > 0 {
			select {
			case got := <-p.seen:
				if got == want[0] {
					want = want[1:]
				}
			case <-late:
				t.Fatalf("%s: it was never told %v", what, want)
			}
		}
	}
	first := begin(true, "a")
	if got := <-first.seen; got != 1 {
		t.Errorf("alone, the limit is divided among %d", got)
	}
	second := begin(true, "a")
	if got := <-second.seen; got != 0 {
		t.Errorf("a newcomer is told %d before the others know of it, want 0", got)
	}
	expect("the newcomer", second, 2)
	expect("the first", first, 2)
	other, command := begin(true, "b"), begin(false, "a")
	if a, b := <-other.seen, <-command.seen; a != 1 || b != 1 {
		t.Errorf("of another address, and a command: %d and %d, want each alone", a, b)
	}
	db := openRaw(t, "PostgreSQL", where)
	if _, err := db.Exec(`insert into services (id, kind, outgoing_group, until) values ('killed', 'service', 'a', ` +
		`(extract(epoch from clock_timestamp()) * 1000)::bigint + 3000)`); err != nil {
		t.Fatal(err)
	}
	expect("beside one that was killed, until that expires", first, 3, 2)
	if _, err := db.Exec(`delete from services where id = $1`, first.id); err != nil {
		t.Fatal(err)
	}
	expect("one whose row was gone", first, 0, 2)
	second.stop()
	expect("alone again", first, 1)
}
