package store

import (
	"context"
	"database/sql"

	"github.com/jmoiron/sqlx"

	"github.com/termed/termed/counter"
)

// Status of a notice in the outbox.
const (
	NoticePending   = "pending"   // to be sent when due
	NoticeDelivered = "delivered" // its endpoint has taken it
	NoticeDead      = "dead"      // given up; kept
)

// dispatch puts what there is to tell of a subscription into the outbox, in the transaction that caused it.
func dispatch(tx *sqlx.Tx, subscription string, d counter.Dispatch) error {
	if err := post(tx, d.Posts); err != nil {
		return err
	}
	for _, order := range d.Told {
		if _, err := tx.Exec(tx.Rebind(`update shipments set told = 1 where subscription = ? and order_id = ?`), subscription, order); err != nil {
			return err
		}
	}
	return nil
}

func post(tx *sqlx.Tx, posts []counter.Post) error {
	for _, p := range posts {
		if _, err := tx.Exec(tx.Rebind(`
			insert into notices (id, endpoint, type, subscription, created, body, status, due)
			values (?, ?, ?, ?, ?, ?, 'pending', ?)
			on conflict do nothing`), p.ID, p.Endpoint, p.Type, p.Subscription, p.At, p.Body, p.At); err != nil {
			return wrap("putting a notice into the outbox", err)
		}
	}
	return nil
}

// Post puts notices into the outbox that nothing in the ledger caused.
func (s *Store) Post(ctx context.Context, posts []counter.Post) error {
	err := s.writer.do(ctx, func(tx *sqlx.Tx) error { return post(tx, posts) })
	if err == nil && len(posts) > 0 {
		signal(s.noticesDue)
	}
	return err
}

// ClaimPosts takes up to n due notices, oldest due first, and keeps them from other takers until the given time.
func (s *Store) ClaimPosts(ctx context.Context, at, until int64, n int) ([]counter.Post, error) {
	if idle, err := s.nothingDue(ctx, `select 1 from notices where due <= ? limit 1`, at); idle || err != nil {
		return nil, wrap("looking for due notices", err)
	}
	var claimed []counter.Post
	err := s.writer.do(ctx, func(tx *sqlx.Tx) error {
		claimed = nil
		return tx.Select(&claimed, tx.Rebind(`
			update notices
			set due = ?
			where (id, endpoint) in (
				select id, endpoint
				from notices
				where due <= ?
				order by due, id
				limit ? `+s.dialect.skipLocked+`)
			returning id, endpoint, type, subscription, created as at, body, attempts`), until, at, n)
	})
	if err != nil {
		return nil, wrap("claiming notices", err)
	}
	return claimed, nil
}

// SettlePost records what became of a notice: delivered where fault is "", else in vain so often, and due again at next, UTC
// unix milliseconds; 0: given up.
func (s *Store) SettlePost(ctx context.Context, p counter.Post, fault string, next int64) error {
	status, due, attempts := NoticePending, &next, p.Attempts+1
	switch {
	case fault == "":
		status, due, attempts = NoticeDelivered, nil, p.Attempts
	case next == 0:
		status, due = NoticeDead, nil
	}
	return wrap("settling notice "+p.ID, s.writer.do(ctx, func(tx *sqlx.Tx) error {
		_, err := tx.Exec(tx.Rebind(`
			update notices
			set status = ?, due = ?, attempts = ?, last_error = ?
			where id = ? and endpoint = ? and status = 'pending'`), status, due, attempts, fault, p.ID, p.Endpoint)
		return err
	}))
}

// Notice is a row of the outbox, without its body.
type Notice struct {
	ID           string        `db:"id"`
	Endpoint     string        `db:"endpoint"`
	Type         string        `db:"type"`
	Subscription string        `db:"subscription"`
	Created      int64         `db:"created"`
	Status       string        `db:"status"`
	Attempts     int           `db:"attempts"`
	Due          sql.NullInt64 `db:"due"` // when it is sent again, UTC unix milliseconds
	LastError    string        `db:"last_error"`
}

// Notices returns the latest n notices in a status, or in any for "", newest first.
func (s *Store) Notices(ctx context.Context, status string, n int) ([]Notice, error) {
	var all []Notice
	err := s.reads.SelectContext(ctx, &all, s.reads.Rebind(`
		select id, endpoint, type, subscription, created, status, attempts, due, last_error
		from notices
		where status = ? or ? = ''
		order by created desc, id, endpoint
		limit ?`), status, status, n)
	return all, wrap("reading the outbox", err)
}

// Outbox is how many notices wait, and how many were given up.
type Outbox struct {
	Pending int `db:"pending" json:"pending"`
	Dead    int `db:"dead" json:"dead"`
}

// Outbox counts the notices that are not delivered.
func (s *Store) Outbox(ctx context.Context) (Outbox, error) {
	var o Outbox
	err := s.reads.GetContext(ctx, &o, `
		select (select count(*) from notices where due is not null) as pending,
		       (select count(*) from notices where status = 'dead') as dead`)
	return o, wrap("counting notices", err)
}

// RetryNotices makes notices due at once, as if never tried: the one with the id, delivered or not, or, for "", all that are
// dead. It says how many.
func (s *Store) RetryNotices(ctx context.Context, id string, at int64) (int64, error) {
	return s.retry(ctx, `
		update notices
		set status = 'pending', due = ?, attempts = 0
		where id = ? or (? = '' and status = 'dead')`, at, id, id)
}

// Remind makes the subscriptions due that were to be looked at again by now because of a notice.
func (s *Store) Remind(ctx context.Context, at int64) error {
	if idle, err := s.nothingDue(ctx, `select 1 from subscriptions where remind_at > 0 and remind_at <= ? limit 1`, at); idle || err != nil {
		return wrap("looking for reminders", err)
	}
	n, err := s.retry(ctx, `
		update subscriptions
		set remind_at = 0, due = coalesce(due, ?), revision = revision + 1
		where remind_at > 0 and remind_at <= ?`, at, at)
	if err == nil && n > 0 {
		signal(s.subscriptionsDue)
	}
	return err
}
