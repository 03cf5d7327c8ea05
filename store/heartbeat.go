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
	runningFor   = 30 * time.Second // a service that has not renewed its row for longer counts as stopped
	renewEvery   = 8 * time.Second
	renewWithin  = 5 * time.Second
	removeWithin = 2 * time.Second
)

// heartbeat says on PostgreSQL that a service is running: by a row that it renews, since a lock in a session would not
// work behind a pooler in transaction mode. Times are the database's, so that no clock of an instance matters.
type heartbeat struct {
	db      *sqlx.DB
	id      string
	stop    context.CancelFunc
	stopped chan struct{}
}

// databaseTime is the time of PostgreSQL in milliseconds.
const databaseTime = `(extract(epoch from clock_timestamp()) * 1000)::bigint`

// lockPatience is the longest wait for a lock, in one transaction.
const lockPatience = `set local lock_timeout = '2s'`

// startHeartbeat is refused while a copy has the database for itself.
func startHeartbeat(ctx context.Context, db *sqlx.DB, every time.Duration) (*heartbeat, error) {
	h := &heartbeat{db: db, id: rand.Text(), stopped: make(chan struct{})}
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

// first writes the row and removes those of services that are dead.
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
	if err := h.renew(ctx, tx); err != nil {
		return err
	}
	return tx.Commit()
}

func (h *heartbeat) renew(ctx context.Context, on sqlx.ExecerContext) error {
	_, err := on.ExecContext(ctx, `
		insert into services (id, until)
		values ($1, `+databaseTime+` + $2)
		on conflict (id) do update set until = excluded.until`, h.id, runningFor.Milliseconds())
	return err
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
			_ = h.renew(renewing, h.db)
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
