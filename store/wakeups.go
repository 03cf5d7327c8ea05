package store

import (
	"context"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jmoiron/sqlx"
)

const (
	wakeupChannel     = "termed"
	wakeupsApart      = 100 * time.Millisecond // between two notifications of one process
	wakeupWithin      = 2 * time.Second        // a notification that takes longer is not sent: whoever waits for it polls
	listenAgain       = 5 * time.Second        // after the connection was lost
	pollAlone         = time.Second            // SQLite: what other processes do is seldom
	pollOthers        = 2 * time.Second        // PostgreSQL: events and subscriptions together make one query a second
	pollListening     = 5 * time.Second        // for what nobody announces
	kindEvents        = "events"
	kindSubscriptions = "subscriptions"
	kindMessages      = "messages"
)

// errPooled says that what answers is not the server itself: a notification would reach some other client.
var errPooled = errors.New("a pooler stands between this process and the server")

// wakeups tell other processes on a PostgreSQL database by NOTIFY that something is due, and wake the workers of this
// one when others do. They are a help: what is lost with a connection is found by the next poll.
type wakeups struct {
	db        *sqlx.DB
	config    *pgx.ConnConfig
	own       string // what begins the notifications of this process
	local     map[string]chan struct{}
	listening atomic.Bool
	pooled    chan struct{} // closed when nobody can listen
	stop      context.CancelFunc
	running   sync.WaitGroup

	mu      sync.Mutex
	pending map[string]bool
	any     chan struct{} // something is pending
}

// startWakeups begins to tell others and, if it is to, to listen.
func startWakeups(
	db *sqlx.DB, address, own string, local map[string]chan struct{}, listen bool,
) (*wakeups, error) {
	c, err := pgx.ParseConfig(address)
	if err != nil {
		return nil, errors.New("the PostgreSQL address cannot be read") // it may hold a password
	}
	c.DefaultQueryExecMode = pgx.QueryExecModeSimpleProtocol // a pooler may stand in between
	ctx, stop := context.WithCancel(context.Background())
	w := &wakeups{
		db:      db,
		config:  c,
		own:     own,
		local:   local,
		stop:    stop,
		pooled:  make(chan struct{}),
		pending: map[string]bool{},
		any:     make(chan struct{}, 1),
	}
	w.running.Go(func() { w.tellAll(ctx) })
	if listen {
		w.running.Go(func() { w.listenAll(ctx) })
	}
	return w, nil
}

// tell says that something of a kind is due.
func (w *wakeups) tell(kind string) {
	w.mu.Lock()
	w.pending[kind] = true
	w.mu.Unlock()
	signal(w.any)
}

func (w *wakeups) take() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	kinds := w.own
	for kind := range w.pending {
		kinds += " " + kind
	}
	clear(w.pending)
	return kinds
}

// tellAll sends what is pending, a few times a second at most: a commit with a notification waits for all others.
func (w *wakeups) tellAll(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-w.any:
		}
		sending, cancel := context.WithTimeout(context.WithoutCancel(ctx), wakeupWithin)
		_, _ = w.db.ExecContext(sending, `select pg_notify($1, $2)`, wakeupChannel, w.take())
		cancel()
		rest(ctx, wakeupsApart)
	}
}

// listenAll listens, on a connection of its own, until ctx is done or a pooler makes it useless.
func (w *wakeups) listenAll(ctx context.Context) {
	for ctx.Err() == nil {
		err := w.listenOnce(ctx)
		w.listening.Store(false)
		if errors.Is(err, errPooled) {
			close(w.pooled)
			return
		}
		rest(ctx, listenAgain)
	}
}

func (w *wakeups) listenOnce(ctx context.Context) error {
	conn, err := pgx.ConnectConfig(ctx, w.config)
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	var process uint32
	if err := conn.QueryRow(ctx, `select pg_backend_pid()`).Scan(&process); err != nil {
		return err
	}
	// safeguard: listens-past-pooler
	if process != conn.PgConn().PID() {
		return errPooled
	}
	if _, err := conn.Exec(ctx, "listen "+wakeupChannel); err != nil {
		return err
	}
	for _, c := range w.local {
		signal(c) // for what was told before we listened
	}
	w.listening.Store(true)
	for {
		told, err := conn.WaitForNotification(ctx)
		if err != nil {
			return err
		}
		from, kinds, _ := strings.Cut(told.Payload, " ")
		if from == w.own {
			continue // its workers were woken at once
		}
		for kind := range strings.FieldsSeq(kinds) {
			if c := w.local[kind]; c != nil {
				signal(c)
			}
		}
	}
}

func (w *wakeups) close() {
	if len(w.any) > 0 {
		rest(context.Background(), 2*wakeupsApart) // a command tells of what it did last
	}
	w.stop()
	w.running.Wait()
}

// rest waits for a time, or until ctx is done.
func rest(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}

// wake wakes the workers of this process, and those of others on the same PostgreSQL database.
func (s *Store) wake(kind string) {
	signal(s.due[kind])
	if s.wakeups != nil {
		s.wakeups.tell(kind)
	}
}

// PollEvery is how often whoever has nothing to do looks for work: other processes may make something due, and on
// PostgreSQL they tell us of it where the connection allows that.
func (s *Store) PollEvery() time.Duration {
	switch {
	case s.wakeups == nil:
		return pollAlone
	case s.wakeups.listening.Load():
		return pollListening
	}
	return pollOthers
}

// NextEvent is when the next event is due, UTC unix milliseconds; 0: none is.
func (s *Store) NextEvent(ctx context.Context) (at int64, err error) {
	err = s.reads.GetContext(ctx, &at, `select coalesce(min(due), 0) from events where due is not null`)
	return at, wrap("looking for the next event", err)
}

// NextSubscription is when the next subscription is due and free, UTC unix milliseconds; 0: none is due.
func (s *Store) NextSubscription(ctx context.Context) (at int64, err error) {
	err = s.reads.GetContext(ctx, &at, `
		select coalesce(min(case when lease_until > due then lease_until else due end), 0)
		from subscriptions
		where due is not null and `+notRestored)
	return at, wrap("looking for the next subscription", err)
}
