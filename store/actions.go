package store

import (
	"context"
	"database/sql"
	"errors"

	"github.com/jmoiron/sqlx"

	"github.com/termed/termed/ledger"
)

const actionColumns = `key, subscription, kind, actor, reason, order_id, status, detail, created, finished`

// actionRow is an action as the database has it.
type actionRow struct {
	Key          string              `db:"key"`
	Subscription string              `db:"subscription"`
	Kind         ledger.ActionKind   `db:"kind"`
	Actor        string              `db:"actor"`
	Reason       string              `db:"reason"`
	Order        string              `db:"order_id"`
	Status       ledger.ActionStatus `db:"status"`
	Detail       string              `db:"detail"`
	Created      int64               `db:"created"`
	Finished     int64               `db:"finished"`
}

// Action returns the action with an idempotency key; found says whether there is one.
func (s *Store) Action(ctx context.Context, key string) (a ledger.Action, found bool, err error) {
	var row actionRow
	err = s.reads.GetContext(ctx, &row, s.reads.Rebind(`select `+actionColumns+` from actions where key = ?`), key)
	if errors.Is(err, sql.ErrNoRows) {
		return ledger.Action{}, false, nil
	}
	return ledger.Action(row), err == nil, wrap("reading an action", err)
}

// Actions returns the latest actions on a subscription, the newest first, at most n.
func (s *Store) Actions(ctx context.Context, subscription string, n int) ([]ledger.Action, error) {
	return s.actions(ctx, `where subscription = ? order by created desc, key limit ?`, subscription, n)
}

// OpenActions returns the actions that were begun before a time, UTC unix milliseconds, and whose outcome is not known,
// the oldest first.
func (s *Store) OpenActions(ctx context.Context, before int64) ([]ledger.Action, error) {
	return s.actions(ctx, `where status in ('started', 'unknown') and created < ? order by created, key limit 100`, before)
}

func (s *Store) actions(ctx context.Context, clause string, args ...any) ([]ledger.Action, error) {
	var rows []actionRow
	err := s.reads.SelectContext(ctx, &rows, s.reads.Rebind(`select `+actionColumns+` from actions `+clause), args...)
	all := make([]ledger.Action, len(rows))
	for i, row := range rows {
		all[i] = ledger.Action(row)
	}
	return all, wrap("reading actions", err)
}

// saveAction records an action, or what became of it. One that has an outcome keeps it.
func saveAction(tx *sqlx.Tx, a *ledger.Action) error {
	if a == nil {
		return nil
	}
	result, err := tx.Exec(tx.Rebind(`
		insert into actions (`+actionColumns+`)
		values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
		on conflict (key) do update set status = excluded.status, detail = excluded.detail, finished = excluded.finished
		where actions.subscription = excluded.subscription and actions.kind = excluded.kind
		  and actions.status in ('started', 'unknown')`),
		a.Key, a.Subscription, string(a.Kind), a.Actor, a.Reason, a.Order, string(a.Status), a.Detail, a.Created,
		a.Finished)
	if err != nil {
		return wrap("recording an action", err)
	}
	// safeguard: one-action
	if n, err := result.RowsAffected(); err != nil || n == 0 {
		return errors.Join(err, ledger.ErrActionExists)
	}
	return nil
}
