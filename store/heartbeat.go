package store

import (
	"context"
	"crypto/rand"
	"database/sql"
	"fmt"
	"time"

	"github.com/jmoiron/sqlx"
)

const (
	runningFor   = 30 * time.Second // a process that has not renewed its row for longer counts as stopped
	renewEvery   = 5 * time.Second
	renewWithin  = 3 * time.Second
	removeWithin = 2 * time.Second
)

// heartbeat says on PostgreSQL that a service is running, or a command beside it: by a row that it renews, since a lock
// in a session would not work behind a pooler in transaction mode. The rows say among how many processes the limit of
// API calls is to be divided. Times are the database's, so that no clock of an instance matters.
type heartbeat struct {
	db      *sqlx.DB
	id      string
	kind    string // of the process: service or command
	group   string // the outgoing address
	share   func(among int, until time.Time)
	stop    context.CancelFunc
	stopped chan struct{}
}

// What a process is.
const (
	isService = "service"
	isCommand = "command"
)

// databaseTime is the time of PostgreSQL in milliseconds.
const databaseTime = `(extract(epoch from clock_timestamp()) * 1000)::bigint`

// lockPatience is the longest wait for a lock, in one transaction.
const lockPatience = `set local lock_timeout = '2s'`

// startHeartbeat is refused while a copy has the database for itself.
func startHeartbeat(ctx context.Context, db *sqlx.DB, o Options, every time.Duration) (*heartbeat, error) {
	h := &heartbeat{
		db:      db,
		id:      rand.Text(),
		kind:    isCommand,
		group:   o.Group,
		share:   o.Share,
		stopped: make(chan struct{}),
	}
	if o.Serve {
		h.kind = isService
	}
	if h.share == nil {
		h.share = func(int, time.Time) {}
	}
	err := h.first(ctx)
	if isLockTimeout(err) {
		return nil, fmt.Errorf("%w: it is being copied", ErrInUse)
	}
	if err != nil {
		return nil, fmt.Errorf("starting the heartbeat: %w", err)
	}
	ctx, h.stop = context.WithCancel(context.WithoutCancel(ctx))
	go h.run(ctx, every)
	return h, nil
}

// first writes the row and removes those of processes that are dead.
func (h *heartbeat) first(ctx context.Context) error {
	tx, err := h.db.BeginTxx(ctx, &sql.TxOptions{Isolation: sql.LevelReadCommitted})
	if err != nil {
		return err
	}
	defer tx.Rollback() // does nothing after a commit
	if _, err := tx.ExecContext(ctx, lockPatience); err != nil {
		return err
	}
	if _, err := tx.ExecContext(ctx, `
		delete from services
		where id in (select id from services where until <= `+databaseTime+` for update skip locked)`); err != nil {
		return err
	}
	tell, err := h.renew(ctx, tx)
	if err != nil {
		return err
	}
	if err := tx.Commit(); err != nil {
		return err
	}
	tell()
	return nil
}

// renew writes the row. What it answers tells among how many the limit is to be divided. A newcomer waits until its
// next heartbeat: by then the others have seen its row, and take less.
func (h *heartbeat) renew(ctx context.Context, on sqlx.ExtContext) (tell func(), err error) {
	// Without the database nobody knows who else is there: whoever cannot renew its row stops before it expires.
	until := time.Now().Add(runningFor - renewEvery)
	var isNew bool
	if err := sqlx.GetContext(ctx, on, &isNew, `
		insert into services (id, kind, outgoing_group, until)
		values ($1, $2, $3, `+databaseTime+` + $4)
		on conflict (id) do update set until = excluded.until
		returning xmax = 0`, h.id, h.kind, h.group, runningFor.Milliseconds()); err != nil {
		return nil, err
	}
	var among int
	if err := sqlx.GetContext(ctx, on, &among, `
		select count(*)
		from services
		where kind = $1 and outgoing_group = $2 and until > `+databaseTime, h.kind, h.group); err != nil {
		return nil, err
	}
	// safeguard: newcomer-waits
	if isNew && among > 1 {
		among = 0
	}
	return func() { h.share(among, until) }, nil
}

// run renews the row. A failure is not reported: the workers meet it too, and the next renewal comes before the row
// expires.
func (h *heartbeat) run(ctx context.Context, every time.Duration) {
	defer close(h.stopped)
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			renewing, cancel := context.WithTimeout(ctx, renewWithin)
			// safeguard: heartbeat
			tell, err := h.renew(renewing, h.db)
			if err == nil {
				tell()
			}
			cancel()
		}
	}
}

// Close removes the row. Where that fails, it expires.
func (h *heartbeat) Close() {
	h.stop()
	<-h.stopped
	ctx, cancel := context.WithTimeout(context.Background(), removeWithin)
	defer cancel()
	_, _ = h.db.ExecContext(ctx, `delete from services where id = $1`, h.id)
}
