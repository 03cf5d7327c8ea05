// Package webhook owns the door: the one public address, to which Ordergroove posts. A delivery is capped, verified on
// its raw bytes, read, filed in the inbox and answered, in that order; nothing unverified reaches a JSON parser, the
// database or the log.
//
// It never works on an event and never calls anybody. A 200 means committed and synced.
package webhook

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/termed/termed/failpoint"
	"github.com/termed/termed/ordergroove"
)

// Path is where Ordergroove posts.
const Path = "/webhooks/ordergroove"

// inbox is where deliveries are filed; store satisfies it.
type inbox interface {
	Append(ctx context.Context, d ordergroove.Delivery) (fresh bool, err error)
}

// Options of a Door. The zero value of a field means the default it names.
type Options struct {
	Keys     []string         // webhook keys; at least one
	MaxBody  int64            // bytes; default 1 MiB
	MaxAge   time.Duration    // of a delivery; default 72 h, the longest published time of retrying (contract, section 1)
	MaxAhead time.Duration    // of its sender's clock; default 5 min
	Within   time.Duration    // for filing; default 4 s: Ordergroove waits 5
	Now      func() time.Time // default time.Now
	Log      *slog.Logger     // default none
}

// Door takes deliveries.
type Door struct {
	inbox    inbox
	verifier *ordergroove.Verifier
	refusals refusals
	o        Options
}

// New makes a Door. Without a usable key it is an error: it could not tell a delivery from a forgery.
func New(in inbox, o Options) (*Door, error) {
	if o.MaxBody == 0 {
		o.MaxBody = 1 << 20
	}
	if o.MaxAge == 0 {
		o.MaxAge = 72 * time.Hour
	}
	if o.MaxAhead == 0 {
		o.MaxAhead = 5 * time.Minute
	}
	if o.Within == 0 {
		o.Within = 4 * time.Second
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	verifier, err := ordergroove.NewVerifier(o.Keys, o.MaxAge, o.MaxAhead)
	if err != nil {
		return nil, err
	}
	return &Door{inbox: in, verifier: verifier, o: o}, nil
}

// Handler answers Path and /livez, and nothing else.
func (d *Door) Handler() http.Handler {
	gin.SetMode(gin.ReleaseMode)
	engine := gin.New()
	engine.HandleMethodNotAllowed = true
	engine.RedirectTrailingSlash = false
	_ = engine.SetTrustedProxies(nil) // nil cannot be malformed
	engine.Use(gin.CustomRecoveryWithWriter(io.Discard, d.recovered))
	engine.POST(Path, d.receive)
	engine.GET("/livez", func(c *gin.Context) { c.String(http.StatusOK, "ok\n") })
	return engine
}

// Server wraps a handler in the limits of a public address: a slow or idle sender costs a connection, and not for long.
func Server(handler http.Handler, log *slog.Logger) *http.Server {
	return &http.Server{
		Handler:           handler,
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       5 * time.Second,
		WriteTimeout:      10 * time.Second,
		IdleTimeout:       time.Minute,
		MaxHeaderBytes:    16 << 10,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
}

func (d *Door) receive(c *gin.Context) {
	now := d.o.Now()
	body, err := io.ReadAll(http.MaxBytesReader(c.Writer, c.Request.Body, d.o.MaxBody))
	if err != nil {
		refuseBody(c, err)
		return
	}
	if err := d.verifier.Verify(c.Request.Header[ordergroove.SignatureHeader], body, now); err != nil {
		d.refusals.count(err, now, d.o.Log)
		c.JSON(http.StatusUnauthorized, gin.H{"error": "the signature does not verify"})
		return
	}
	delivery := d.read(body, now)
	ctx, cancel := context.WithTimeout(c.Request.Context(), d.o.Within)
	defer cancel()
	fresh, err := d.inbox.Append(ctx, delivery)
	if err != nil {
		d.o.Log.Error("a delivery could not be stored; Ordergroove will send it again", "event", delivery.ID, "error", err)
		c.Header("Retry-After", "30")
		c.JSON(http.StatusServiceUnavailable, gin.H{"error": "not stored; send it again"})
		return
	}
	failpoint.Hit("after-commit")
	c.JSON(http.StatusOK, gin.H{"status": answer(delivery.Verdict, fresh)})
}

// read files an authentic delivery under its own id, or, where it has none that can be read, under its hash. Neither is
// refused: a non-2xx would burn the sender's retries and in the end have the address disabled (contract, section 1).
func (d *Door) read(body []byte, now time.Time) ordergroove.Delivery {
	delivery := ordergroove.Delivery{Received: now.UnixMilli(), Body: body}
	head, err := ordergroove.ParseHead(body)
	if err != nil {
		sum := sha256.Sum256(body)
		delivery.Created, delivery.ID, delivery.Verdict = delivery.Received, "sha256:"+hex.EncodeToString(sum[:]), ordergroove.Quarantined
		d.o.Log.Warn("an authentic delivery is unreadable; it is kept as quarantined", "event", delivery.ID, "reason", err)
		return delivery
	}
	delivery.Created, delivery.ID, delivery.Type = head.Created*1000, head.ID, head.Type
	delivery.Verdict = ordergroove.Accepted
	if !ordergroove.KnownType(head.Type) {
		delivery.Verdict = ordergroove.Ignored
	}
	return delivery
}

func answer(verdict ordergroove.Verdict, fresh bool) string {
	if !fresh {
		return "duplicate"
	}
	return string(verdict)
}

func refuseBody(c *gin.Context, err error) {
	if _, tooLarge := errors.AsType[*http.MaxBytesError](err); tooLarge {
		c.JSON(http.StatusRequestEntityTooLarge, gin.H{"error": "the body is too large"})
		return
	}
	c.JSON(http.StatusBadRequest, gin.H{"error": "the body did not arrive whole"})
}

// recovered answers after a panic. What panicked is not logged: it may quote what was received.
func (d *Door) recovered(c *gin.Context, _ any) {
	d.o.Log.Error("a delivery made the door panic")
	c.AbortWithStatus(http.StatusInternalServerError)
}
