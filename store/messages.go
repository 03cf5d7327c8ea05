package store

import (
	"context"
	"database/sql"
	"slices"

	"github.com/jmoiron/sqlx"

	"github.com/termed/termed/ledger"
)

// notify puts what there is to notify about a subscription into the outbox, in the transaction that caused it.
func notify(tx *sqlx.Tx, subscription string, n ledger.Notify) error {
	if err := insertMessages(tx, n.Messages); err != nil {
		return err
	}
	for _, order := range n.Notified {
		if _, err := tx.Exec(tx.Rebind(`update shipments set notified = 1 where subscription = ? and order_id = ?`),
			subscription, order); err != nil {
			return err
		}
	}
	return nil
}

func insertMessages(tx *sqlx.Tx, messages []ledger.Message) error {
	for _, m := range messages {
		if _, err := tx.Exec(tx.Rebind(`
			insert into messages (id, endpoint, type, subscription, created, body, status, due)
			values (?, ?, ?, ?, ?, ?, 'pending', ?)
			on conflict do nothing`), m.ID, m.Endpoint, m.Type, m.Subscription, m.At, m.Body, m.At); err != nil {
			return wrap("putting a message into the outbox", err)
		}
	}
	return nil
}

// EnqueueMessages puts messages into the outbox that no sync caused.
func (s *Store) EnqueueMessages(ctx context.Context, messages []ledger.Message) error {
	err := s.writer.do(ctx, func(tx *sqlx.Tx) error { return insertMessages(tx, messages) })
	if err == nil && len(messages) > 0 {
		s.wake(kindMessages)
	}
	return err
}

// ClaimMessages takes up to n due messages to an endpoint, oldest due first, and keeps them from other senders until
// the given time.
func (s *Store) ClaimMessages(ctx context.Context, endpoint string, at, until int64, n int) ([]ledger.Message, error) {
	// safeguard: hanging-endpoint
	return s.claimMessages(ctx, `endpoint = ?`, []any{endpoint}, at, until, n)
}

// ClaimMessagesExcept is ClaimMessages for those to any other endpoint than the given ones.
func (s *Store) ClaimMessagesExcept(
	ctx context.Context, endpoints []string, at, until int64, n int,
) ([]ledger.Message, error) {
	if len(endpoints) == 0 {
		return s.claimMessages(ctx, `1 = 1`, nil, at, until, n)
	}
	clause, args, err := sqlx.In(`endpoint not in (?)`, endpoints)
	if err != nil {
		return nil, wrap("claiming messages", err)
	}
	return s.claimMessages(ctx, clause, args, at, until, n)
}

func (s *Store) claimMessages(
	ctx context.Context, clause string, args []any, at, until int64, n int,
) ([]ledger.Message, error) {
	dueOnes := append(slices.Clone(args), at)
	if idle, err := s.nothingDue(ctx, `select 1 from messages where `+clause+` and due <= ? limit 1`,
		dueOnes...); idle || err != nil {
		return nil, wrap("looking for due messages", err)
	}
	var claimed []ledger.Message
	err := s.writer.do(ctx, func(tx *sqlx.Tx) error {
		claimed = nil
		return tx.Select(&claimed, tx.Rebind(`
			update messages
			set due = ?
			where (id, endpoint) in (
				select id, endpoint
				from messages
				where `+clause+` and due <= ?
				order by due, id
				limit ? `+s.dialect.skipLocked+`)
			returning id, endpoint, type, subscription, created as at, body, attempts`),
			slices.Concat([]any{until}, dueOnes, []any{n})...)
	})
	if err != nil {
		return nil, wrap("claiming messages", err)
	}
	return claimed, nil
}

// SettleMessage records what became of a message: delivered where fault is "", else failed once more and due again at
// next, UTC unix milliseconds; 0: given up.
func (s *Store) SettleMessage(ctx context.Context, m ledger.Message, fault string, next int64) error {
	status := ledger.MessagePending
	attempts := m.Attempts + 1
	switch {
	case fault == "":
		status = ledger.MessageDelivered
		attempts = m.Attempts
		next = 0
	case next == 0:
		status = ledger.MessageDead
	}
	return wrap("settling message "+m.ID, s.writer.do(ctx, func(tx *sqlx.Tx) error {
		// safeguard: settled-once
		_, err := tx.Exec(tx.Rebind(`
			update messages
			set status = ?, due = ?, attempts = ?, last_error = ?
			where id = ? and endpoint = ? and status = 'pending'`), string(status), nullable(next), attempts, fault, m.ID,
			m.Endpoint)
		return err
	}))
}

// Message is a row of the outbox, without its body.
type Message struct {
	ID           string               `db:"id"`
	Endpoint     string               `db:"endpoint"`
	Type         string               `db:"type"`
	Subscription string               `db:"subscription"`
	Created      int64                `db:"created"`
	Status       ledger.MessageStatus `db:"status"`
	Attempts     int                  `db:"attempts"`
	Due          sql.NullInt64        `db:"due"` // when it is sent again, UTC unix milliseconds
	LastError    string               `db:"last_error"`
}

// Messages returns the latest n messages in a status, or in any for "", newest first.
func (s *Store) Messages(ctx context.Context, status ledger.MessageStatus, n int) ([]Message, error) {
	var all []Message
	err := s.reads.SelectContext(ctx, &all, s.reads.Rebind(`
		select id, endpoint, type, subscription, created, status, attempts, due, last_error
		from messages
		where status = ? or ? = ''
		order by created desc, id, endpoint
		limit ?`), status, status, n)
	return all, wrap("reading the outbox", err)
}

// Outbox is how many messages are pending, and how many were given up.
type Outbox struct {
	Pending int `db:"pending" json:"pending"`
	Dead    int `db:"dead" json:"dead"`
}

// Outbox counts the messages that are not delivered.
func (s *Store) Outbox(ctx context.Context) (Outbox, error) {
	var o Outbox
	err := s.reads.GetContext(ctx, &o, `
		select (select count(*) from messages where due is not null) as pending,
		       (select count(*) from messages where status = 'dead') as dead`)
	return o, wrap("counting messages", err)
}

// RetryMessages makes messages due at once, as if never tried: the one with the id, delivered or not, or, for "", all
// that are dead. It says how many.
func (s *Store) RetryMessages(ctx context.Context, id string, at int64) (int64, error) {
	return s.retry(ctx, `
		update messages
		set status = 'pending', due = ?, attempts = 0
		where id = ? or (? = '' and status = 'dead')`, at, id, id)
}

// Remind makes the subscriptions due that are to be synced again by now because of a notification.
func (s *Store) Remind(ctx context.Context, at int64) error {
	if idle, err := s.nothingDue(ctx, `select 1 from subscriptions where remind_at > 0 and remind_at <= ? limit 1`,
		at); idle || err != nil {
		return wrap("looking for reminders", err)
	}
	n, err := s.retry(ctx, `
		update subscriptions
		set remind_at = 0, due = coalesce(due, ?), revision = revision + 1
		where remind_at > 0 and remind_at <= ?`, at, at)
	if err == nil && n > 0 {
		s.wake(kindSubscriptions)
	}
	return err
}
