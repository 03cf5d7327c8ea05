package main

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/gin-gonic/gin"
	_ "github.com/jackc/pgx/v5/stdlib" // the driver of PostgreSQL
	_ "modernc.org/sqlite"             // the driver of SQLite

	"github.com/termed/termed/ordergroove"
)

// A reference is the least that a receiver must do: verify the signature, read the envelope, store the body so that
// it survives a crash, answer. It has no limits, no states and no safeguards. What termed is slower than a reference
// is what these cost.

// received is one delivery of a reference.
type received struct {
	ID      string `json:"id"`
	Type    string `json:"type"`
	Created int64  `json:"created"`

	body   []byte
	stored chan error
}

const referenceTable = `
	create table if not exists events (
		created  bigint not null,
		id       text   not null,
		type     text   not null,
		received bigint not null,
		body     %s     not null,
		primary key (created, id)
	)`

// reference is a receiver that is compared with.
type reference struct {
	db       *sql.DB
	insert   *sql.Stmt // of SQLite
	postgres bool
	queue    chan *received
}

// serveReference receives until a signal: together is whether deliveries share a transaction.
func serveReference(ctx context.Context, database string, together bool) error {
	ctx, stop := signal.NotifyContext(ctx, syscall.SIGTERM)
	defer stop()
	r := &reference{postgres: strings.HasPrefix(database, "postgres://"), queue: make(chan *received, 2048)}
	if err := r.open(ctx, database); err != nil {
		return err
	}
	defer r.db.Close()
	most, writers := 1, 1
	if together {
		most = 512
	}
	if r.postgres {
		writers = 4 // while one batch is synced, the next are on their way
	}
	for range writers {
		go r.write(ctx, most)
	}
	gin.SetMode(gin.ReleaseMode)
	engine := gin.New()
	engine.POST("/webhooks/ordergroove", r.receive)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	fmt.Printf("webhooks: http://%s/webhooks/ordergroove\nconsole: %s\n", listener.Addr(), noConsole)
	server := &http.Server{Handler: engine, ReadHeaderTimeout: time.Minute}
	context.AfterFunc(ctx, func() { _ = server.Close() })
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

func (r *reference) open(ctx context.Context, database string) error {
	driver, bytes := "pgx", "bytea"
	if !r.postgres {
		driver, bytes = "sqlite", "blob"
		database = "file:" + filepath.ToSlash(database) +
			"?_txlock=immediate&_pragma=synchronous(FULL)&_pragma=journal_mode(WAL)"
	}
	var err error
	if r.db, err = sql.Open(driver, database); err != nil {
		return err
	}
	if !r.postgres {
		r.db.SetMaxOpenConns(1)
	}
	if _, err = r.db.ExecContext(ctx, fmt.Sprintf(referenceTable, bytes)); err != nil || r.postgres {
		return err
	}
	r.insert, err = r.db.PrepareContext(ctx,
		`insert into events (created, id, type, received, body) values (?, ?, ?, ?, ?) on conflict do nothing`)
	return err
}

func (r *reference) receive(c *gin.Context) {
	body, err := io.ReadAll(c.Request.Body)
	if err != nil {
		c.Status(http.StatusBadRequest)
		return
	}
	ts, sig, _ := strings.Cut(strings.TrimPrefix(c.GetHeader(ordergroove.SignatureHeader), "ts="), ",sig=")
	mac := hmac.New(sha256.New, []byte(webhookKey))
	mac.Write([]byte(ts + "."))
	mac.Write(body)
	if got, err := hex.DecodeString(sig); err != nil || !hmac.Equal(got, mac.Sum(nil)) {
		c.Status(http.StatusUnauthorized)
		return
	}
	d := &received{body: body, stored: make(chan error, 1)}
	if err := json.Unmarshal(body, d); err != nil {
		c.Status(http.StatusBadRequest)
		return
	}
	r.queue <- d
	if err := <-d.stored; err != nil {
		c.Status(http.StatusServiceUnavailable)
		return
	}
	c.JSON(http.StatusOK, gin.H{"status": "accepted"})
}

// write stores what is waiting, up to most of it in one transaction.
func (r *reference) write(ctx context.Context, most int) {
	store := r.storeSQLite
	if r.postgres {
		store = r.storePostgres
	}
	for first := range r.queue {
		batch := []*received{first}
		for len(batch) < most && len(r.queue) > 0 {
			batch = append(batch, <-r.queue)
		}
		err := store(ctx, batch)
		for _, d := range batch {
			d.stored <- err
		}
	}
}

func (r *reference) storeSQLite(ctx context.Context, batch []*received) error {
	tx, err := r.db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback() // does nothing after a commit
	insert := tx.StmtContext(ctx, r.insert)
	defer insert.Close()
	at := time.Now().UnixMilli()
	for _, d := range batch {
		if _, err := insert.ExecContext(ctx, d.Created, d.ID, d.Type, at, d.body); err != nil {
			return err
		}
	}
	return tx.Commit()
}

func (r *reference) storePostgres(ctx context.Context, batch []*received) error {
	var (
		created, at []int64
		ids, types  []string
		bodies      [][]byte
	)
	for _, d := range batch {
		created, at = append(created, d.Created), append(at, time.Now().UnixMilli())
		ids, types = append(ids, d.ID), append(types, d.Type)
		bodies = append(bodies, d.body)
	}
	_, err := r.db.ExecContext(ctx, `
		insert into events (created, id, type, received, body)
		select * from unnest($1::bigint[], $2::text[], $3::text[], $4::bigint[], $5::bytea[])
		on conflict do nothing`, created, ids, types, at, bodies)
	return err
}
