package store

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/jmoiron/sqlx"

	"github.com/termed/termed/failpoint"
	"github.com/termed/termed/ordergroove"
)

const (
	maxBatchRows  = 512
	maxBatchBytes = 4 << 20
	queueLength   = 4 * maxBatchRows
	commitWithin  = 10 * time.Second
	maxInTheWay   = 5 // times that a batch is tried again because another instance was in its way
)

// writer owns the one write connection of this process. Whoever wants to write puts a job on its queue and waits; it takes
// what is there, commits once, and wakes all of them: concurrent deliveries share one synced commit, and while one commit
// is being synced the next batch gathers by itself.
type writer struct {
	db           *sqlx.DB
	appendEvents func(*sqlx.Tx, []*ordergroove.Delivery) ([]bool, error)
	queue        chan *job
	stop         chan struct{}
	stopped      chan struct{}
	once         sync.Once
}

// job is one write: a delivery to file, or any other work. It may run more than once, in a transaction that did not
// commit, so it must be able to start again.
type job struct {
	ctx      context.Context
	delivery *ordergroove.Delivery
	fresh    bool // of a delivery: it was not there yet
	work     func(*sqlx.Tx) error
	done     chan error
}

func newWriter(db *sqlx.DB, appendEvents func(*sqlx.Tx, []*ordergroove.Delivery) ([]bool, error)) *writer {
	return &writer{
		db: db, appendEvents: appendEvents,
		queue: make(chan *job, queueLength), stop: make(chan struct{}), stopped: make(chan struct{}),
	}
}

// do runs work in a transaction and answers when it is committed and synced. After an error the work may still be running:
// what it sets is not to be read then.
func (w *writer) do(ctx context.Context, work func(*sqlx.Tx) error) error {
	return w.submit(&job{ctx: ctx, work: work, done: make(chan error, 1)})
}

// file appends a delivery and says whether it was not there yet.
func (w *writer) file(ctx context.Context, d *ordergroove.Delivery) (fresh bool, err error) {
	j := &job{ctx: ctx, delivery: d, done: make(chan error, 1)}
	err = w.submit(j)
	return err == nil && j.fresh, err
}

func (w *writer) submit(j *job) error {
	select {
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

// close lets the jobs in the queue finish and stops the writer.
func (w *writer) close() {
	w.once.Do(func() { close(w.stop) })
	<-w.stopped
}

func (w *writer) run() {
	defer close(w.stopped)
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

// gather takes what is waiting, and waits for no more: the sync before was the window.
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

// commit does a batch together; where one row spoils it, each on its own, so that one bad row does not refuse the others.
func (w *writer) commit(batch []*job) {
	batch = slices.DeleteFunc(batch, (*job).abandoned)
	if len(batch) == 0 {
		return
	}
	err := w.try(batch)
	for range maxInTheWay {
		if !inTheWay(err) {
			break
		}
		err = w.try(batch)
	}
	if err != nil && len(batch) > 1 && !everyRow(err) {
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
	ctx, cancel := context.WithTimeout(context.Background(), commitWithin)
	defer cancel()
	tx, err := w.db.BeginTxx(ctx, nil)
	if err != nil {
		return fmt.Errorf("beginning: %w", err)
	}
	defer tx.Rollback() // does nothing after a commit
	if err := w.fileAll(tx, batch); err != nil {
		return err
	}
	for _, j := range batch {
		if j.work == nil {
			continue
		}
		if err := j.work(tx); err != nil {
			return err
		}
	}
	failpoint.Hit("before-commit")
	if err := tx.Commit(); err != nil {
		return fmt.Errorf("committing: %w", err)
	}
	return nil
}

func (w *writer) fileAll(tx *sqlx.Tx, batch []*job) error {
	var jobs []*job
	var deliveries []*ordergroove.Delivery
	for _, j := range batch {
		if j.delivery != nil {
			jobs, deliveries = append(jobs, j), append(deliveries, j.delivery)
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

// abandoned says whether nobody waits for the job any more; its waiter has had its answer.
func (j *job) abandoned() bool {
	return j.ctx.Err() != nil
}

func (j *job) size() int {
	if j.delivery == nil {
		return 0
	}
	return len(j.delivery.Body)
}
