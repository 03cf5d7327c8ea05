package store

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/jmoiron/sqlx"

	"github.com/termed/termed/failpoint"
	"github.com/termed/termed/ledger"
)

const (
	maxBatchRows  = 512
	maxBatchBytes = 4 << 20
	queueLength   = 4 * maxBatchRows
	commitWithin  = 10 * time.Second
	maxRetries    = 5 // of a batch that failed because of another instance's transaction
)

// writer writes what is on its queue: whoever wants to write puts a job there and waits. A loop takes what is there,
// commits once, and wakes all of them: concurrent deliveries share one synced commit, and while one commit is being
// synced the next batch gathers by itself.
type writer struct {
	db           *sqlx.DB
	appendEvents func(*sqlx.Tx, []*ledger.Event) ([]bool, error)
	lockRows     func(tx *sqlx.Tx, subscriptions []string) error // in order; nil where one process writes
	queue        chan *job
	stop         chan struct{}
	stopped      chan struct{}
	once         sync.Once
}

// job is one write: an event to file, or any other work. It may run more than once, in a transaction that did not
// commit, so it must be able to start again.
type job struct {
	ctx   context.Context
	event *ledger.Event
	fresh bool // the event is new
	work  func(*sqlx.Tx) error
	rows  []string // the subscriptions that it is going to change, as far as they are known
	done  chan error
}

func newWriter(
	db *sqlx.DB, appendEvents func(*sqlx.Tx, []*ledger.Event) ([]bool, error),
	lockRows func(*sqlx.Tx, []string) error,
) *writer {
	return &writer{
		db:           db,
		appendEvents: appendEvents,
		lockRows:     lockRows,
		queue:        make(chan *job, queueLength),
		stop:         make(chan struct{}),
		stopped:      make(chan struct{}),
	}
}

// do runs work in a transaction and answers when it is committed and synced. After an error the work may still be
// running: what it sets is not to be read then.
func (w *writer) do(ctx context.Context, work func(*sqlx.Tx) error) error {
	return w.change(ctx, nil, work)
}

// change is do for work on certain subscriptions.
func (w *writer) change(ctx context.Context, subscriptions []string, work func(*sqlx.Tx) error) error {
	return w.submit(&job{ctx: ctx, work: work, rows: subscriptions, done: make(chan error, 1)})
}

// file appends an event and says whether it is new.
func (w *writer) file(ctx context.Context, e *ledger.Event) (fresh bool, err error) {
	j := &job{ctx: ctx, event: e, done: make(chan error, 1)}
	err = w.submit(j)
	return err == nil && j.fresh, err
}

func (w *writer) submit(j *job) error {
	select {
	// safeguard: answer-after-commit
	case w.queue <- j:
	case <-j.ctx.Done():
		return j.ctx.Err()
	case <-w.stop:
		return ErrClosed
	}
	select {
	case err := <-j.done:
		return err
	case <-j.ctx.Done():
		return j.ctx.Err() // it may still commit: whoever tries again finds it there
	case <-w.stopped:
	}
	select {
	case err := <-j.done: // it was done before the writer stopped
		return err
	default:
		return ErrClosed
	}
}

// close lets the queued jobs finish and stops the writer.
func (w *writer) close() {
	w.once.Do(func() { close(w.stop) })
	<-w.stopped
}

// start begins to write, with so many transactions at once.
func (w *writer) start(loops int) {
	var running sync.WaitGroup
	for range loops {
		running.Go(w.run)
	}
	go func() {
		running.Wait()
		close(w.stopped)
	}()
}

func (w *writer) run() {
	for {
		select {
		case first := <-w.queue:
			w.commit(w.gather(first))
		case <-w.stop:
			for {
				select {
				case first := <-w.queue:
					w.commit(w.gather(first))
				default:
					return
				}
			}
		}
	}
}

// gather takes what is waiting, and does not wait for more: it gathered while the last commit was being synced.
func (w *writer) gather(first *job) []*job {
	batch, bytes := []*job{first}, first.size()
	for len(batch) < maxBatchRows && bytes < maxBatchBytes {
		select {
		case next := <-w.queue:
			batch, bytes = append(batch, next), bytes+next.size()
		default:
			return batch
		}
	}
	return batch
}

// commit commits a batch together; where one row fails it, each job on its own, so that one bad row does not fail the
// others.
func (w *writer) commit(batch []*job) {
	// safeguard: abandoned-jobs
	batch = slices.DeleteFunc(batch, (*job).abandoned)
	if len(batch) == 0 {
		return
	}
	err := w.try(batch)
	for range maxRetries {
		if !isContention(err) {
			break
		}
		err = w.try(batch)
	}
	// safeguard: bad-row
	if err != nil && len(batch) > 1 && !isDatabaseError(err) {
		for _, j := range batch {
			j.done <- w.try([]*job{j})
		}
		return
	}
	for _, j := range batch {
		j.done <- err
	}
}

func (w *writer) try(batch []*job) error {
	ctx, cancel := context.WithTimeout(traceOf(context.Background(), batch), commitWithin)
	defer cancel()
	tx, err := w.db.BeginTxx(ctx, nil)
	if err != nil {
		return fmt.Errorf("beginning: %w", err)
	}
	defer tx.Rollback() // does nothing after a commit
	if err := w.fileAll(tx, batch); err != nil {
		return err
	}
	if err := w.lockAll(tx, batch); err != nil {
		return err
	}
	for _, j := range batch {
		if j.work == nil {
			continue
		}
		if err := j.work(tx); err != nil {
			return err
		}
		// safeguard: summary
		if err := summarize(tx, j.rows); err != nil {
			return err
		}
	}
	failpoint.Hit("before-commit")
	if err := tx.Commit(); err != nil {
		return fmt.Errorf("committing: %w", err)
	}
	return nil
}

// lockAll takes the rows that a batch is going to change, in one order, or two instances deadlock whose jobs come in
// different ones. What it inserts is inserted in that order, too.
func (w *writer) lockAll(tx *sqlx.Tx, batch []*job) error {
	var rows []string
	for _, j := range batch {
		slices.Sort(j.rows)
		rows = append(rows, j.rows...)
	}
	// safeguard: rows-in-order
	if w.lockRows == nil || len(rows) == 0 {
		return nil
	}
	slices.SortStableFunc(batch, func(a, b *job) int { return slices.Compare(a.rows, b.rows) })
	slices.Sort(rows)
	if err := w.lockRows(tx, slices.Compact(rows)); err != nil {
		return fmt.Errorf("locking %d subscriptions: %w", len(rows), err)
	}
	return nil
}

func (w *writer) fileAll(tx *sqlx.Tx, batch []*job) error {
	var jobs []*job
	var deliveries []*ledger.Event
	for _, j := range batch {
		if j.event != nil {
			jobs, deliveries = append(jobs, j), append(deliveries, j.event)
		}
	}
	if len(jobs) == 0 {
		return nil
	}
	fresh, err := w.appendEvents(tx, deliveries)
	if err != nil {
		return fmt.Errorf("filing %d events: %w", len(jobs), err)
	}
	for i, j := range jobs {
		j.fresh = fresh[i]
	}
	return nil
}

// abandoned says whether nobody waits for the job any more.
func (j *job) abandoned() bool {
	return j.ctx.Err() != nil
}

func (j *job) size() int {
	if j.event == nil {
		return 0
	}
	return len(j.event.Body)
}
