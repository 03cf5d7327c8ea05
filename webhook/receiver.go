// Package webhook owns the receiver: the one public address, to which Ordergroove posts. It wants a well-formed
// signature header, caps the body, verifies the signature over the raw bytes, reads the envelope, stores the event in
// the inbox and answers, in that order. Nothing unverified reaches a JSON parser, the database or the log.
//
// It never processes an event and never calls another service. A 200 means committed and synced.
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
	"go.opentelemetry.io/contrib/instrumentation/github.com/gin-gonic/gin/otelgin"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"

	"github.com/termed/termed/failpoint"
	"github.com/termed/termed/ledger"
	"github.com/termed/termed/ordergroove"
	"github.com/termed/termed/tracing"
)

// Path is where Ordergroove posts.
const Path = "/webhooks/ordergroove"

// inbox stores events; store satisfies it.
type inbox interface {
	Append(ctx context.Context, e ledger.Event) (isNew bool, err error)
}

// Options of a Receiver. The zero value of a field means the default it names.
type Options struct {
	Keys     []string         // webhook keys; at least one
	MaxBody  int64            // bytes; default 1 MiB
	InFlight int64            // bytes of bodies in flight, all connections together; default 64 MiB, or four bodies
	MaxAge   time.Duration    // of a signature; default 72 h, the longest published retry period (contract, section 1)
	MaxAhead time.Duration    // how far the sender's clock may be ahead; default 5 min
	Timeout  time.Duration    // for storing an event; default 4 s, because Ordergroove waits 5
	Now      func() time.Time // default time.Now
	Log      *slog.Logger     // default none

	// Traces makes a span of every delivery, in a trace of its own: the address is public, and strangers begin no trace
	// for us. Nil: none.
	Traces trace.TracerProvider

	// Stores says whether the database can store an event; default nil is that it always can.
	Stores func(ctx context.Context) error
}

func (o *Options) setDefaults() {
	if o.MaxBody == 0 {
		o.MaxBody = 1 << 20
	}
	if o.InFlight == 0 {
		o.InFlight = max(64<<20, 4*o.MaxBody)
	}
	if o.MaxAge == 0 {
		o.MaxAge = 72 * time.Hour
	}
	if o.MaxAhead == 0 {
		o.MaxAhead = 5 * time.Minute
	}
	if o.Timeout == 0 {
		o.Timeout = 4 * time.Second
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
}

// Receiver accepts webhooks.
type Receiver struct {
	inbox    inbox
	verifier *ordergroove.Verifier
	refusals refusals
	answers  answers
	health   health
	memory   memory
	options  Options
}

// New makes a Receiver. It fails without a usable key, because it could not tell a webhook from a forgery.
func New(in inbox, o Options) (*Receiver, error) {
	o.setDefaults()
	verifier, err := ordergroove.NewVerifier(o.Keys, o.MaxAge, o.MaxAhead)
	if err != nil {
		return nil, err
	}
	return &Receiver{inbox: in, verifier: verifier, memory: memory{most: o.InFlight}, options: o}, nil
}

// BytesInFlight returns how many bytes the bodies take that are being read or stored.
func (r *Receiver) BytesInFlight() int64 {
	return r.memory.inUse()
}

// Refused returns how many deliveries were refused for a reason since the start.
func (r *Receiver) Refused(reason Reason) int {
	return r.refusals.total(reason)
}

// Unverified returns how many deliveries were refused for their signature since one was verified, if so many and for so
// long that webhook_keys must be wrong; else 0.
func (r *Receiver) Unverified() int {
	return r.refusals.unverified(r.options.Now())
}

// Handler answers Path, /livez and /healthz, and nothing else.
func (r *Receiver) Handler() http.Handler {
	gin.SetMode(gin.ReleaseMode)
	engine := gin.New()
	engine.HandleMethodNotAllowed = true
	engine.RedirectTrailingSlash = false
	_ = engine.SetTrustedProxies(nil) // nil cannot be malformed
	if r.options.Traces != nil {
		engine.Use(otelgin.Middleware("",
			otelgin.WithTracerProvider(r.options.Traces),
			otelgin.WithPropagators(propagation.NewCompositeTextMapPropagator()),
			otelgin.WithGinFilter(func(c *gin.Context) bool { return c.FullPath() == Path }),
		))
	}
	engine.Use(gin.CustomRecoveryWithWriter(io.Discard, r.recovered))
	engine.POST(Path, r.receive)
	engine.NoRoute(r.notFound)
	engine.GET("/livez", func(c *gin.Context) { c.String(http.StatusOK, "ok\n") })
	engine.GET(HealthPath, r.healthz)
	return engine
}

// Server wraps a handler in the limits of a public address, so that a slow or idle sender holds a connection for
// seconds only.
func Server(handler http.Handler, log *slog.Logger) *http.Server {
	return &http.Server{
		Handler: handler,
		// safeguard: listener-timeouts
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       5 * time.Second,
		WriteTimeout:      10 * time.Second,
		IdleTimeout:       time.Minute,
		MaxHeaderBytes:    16 << 10,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
}

// reply is what a delivery is answered: a status code, and the word or sentence in the body.
type reply struct {
	status int
	text   string
}

// receive answers a delivery and says so at level debug. Of a refused one nothing is known that could be logged.
func (r *Receiver) receive(c *gin.Context) {
	at := r.options.Now()
	event, answered := r.accept(c, at)
	word := "error"
	switch answered.status {
	case http.StatusOK:
		word = "status"
	case http.StatusServiceUnavailable:
		c.Header("Retry-After", "30")
	}
	// The texts are ours, and hold nothing that JSON would escape.
	c.Data(answered.status, gin.MIMEJSON+"; charset=utf-8", []byte(`{"`+word+`":"`+answered.text+`"}`))
	ctx := c.Request.Context()
	if span := trace.SpanFromContext(ctx); span.IsRecording() {
		span.SetAttributes(
			attribute.String("event.id", event.ID),
			attribute.String("event.type", event.Type),
			attribute.String("answer", answered.text),
		)
	}
	if !r.options.Log.Enabled(ctx, slog.LevelDebug) {
		return // what the line would say is not made for nothing
	}
	r.options.Log.DebugContext(ctx, "delivery answered",
		"event", event.ID,
		"type", event.Type,
		"status", answered.status,
		"answer", answered.text,
		"duration", r.options.Now().Sub(at).Round(time.Microsecond).String(),
	)
}

// accept verifies and stores a delivery. The event is the zero one unless the delivery is authentic.
func (r *Receiver) accept(c *gin.Context, now time.Time) (ledger.Event, reply) {
	header := c.Request.Header[ordergroove.SignatureHeader]
	// safeguard: header-before-body
	if err := ordergroove.CheckSignatureHeader(header); err != nil {
		c.Header("Connection", "close") // the body is not read, not even to its end
		return ledger.Event{}, r.refuseSignature(err, now)
	}
	cutStalled(c.Writer)
	// safeguard: body-cap
	limited := http.MaxBytesReader(c.Writer, c.Request.Body, r.options.MaxBody)
	received := &body{memory: &r.memory}
	defer received.release()
	if err := received.read(limited); err != nil {
		c.Header("Connection", "close")
		return ledger.Event{}, r.refuseBody(err, now)
	}
	if err := r.verifier.Verify(header, now, received.parts()...); err != nil {
		return ledger.Event{}, r.refuseSignature(err, now)
	}
	// safeguard: probe-not-filed
	if number := probeNumber(received.bytes()); number != "" {
		return ledger.Event{}, reply{http.StatusOK, ProbeAnswer(number)}
	}
	r.refusals.verified(now)
	event := r.read(c.Request.Context(), received.bytes(), now)
	// safeguard: answer-in-time
	ctx, cancel := context.WithTimeout(c.Request.Context(), r.options.Timeout)
	defer cancel()
	isNew, err := r.inbox.Append(ctx, event)
	r.health.note(err, now)
	if err != nil {
		r.options.Log.ErrorContext(ctx, "webhook not stored, Ordergroove will retry", "event", event.ID, "error", err)
		return event, reply{http.StatusServiceUnavailable, "not stored, please retry"}
	}
	failpoint.Hit("after-commit")
	word := answer(event.Status, isNew)
	r.answers.add(word)
	return event, reply{http.StatusOK, word}
}

// read makes an event of an authentic request. A body without a readable id is quarantined under its hash and not
// refused: a non-2xx answer would use up the sender's retries and in the end disable the address (contract, section
// 1).
func (r *Receiver) read(ctx context.Context, body []byte, now time.Time) ledger.Event {
	event := ledger.Event{Received: now.UnixMilli(), Body: body, Trace: tracing.Of(ctx)}
	head, err := ordergroove.ParseHead(body)
	if err != nil {
		sum := sha256.Sum256(body)
		event.ID = "sha256:" + hex.EncodeToString(sum[:])
		event.Created = event.Received
		event.Status = ledger.EventQuarantined
		r.options.Log.WarnContext(ctx, "unreadable webhook quarantined", "event", event.ID, "error", err)
		return event
	}
	event.ID = head.ID
	event.Type = head.Type
	event.Created = head.Created * 1000
	event.Status = ledger.EventPending
	if !ordergroove.KnownType(head.Type) {
		event.Status = ledger.EventIgnored
	}
	return event
}

func answer(status ledger.EventStatus, isNew bool) string {
	switch {
	case !isNew:
		return "duplicate"
	case status == ledger.EventPending:
		return "accepted"
	}
	return string(status)
}

func (r *Receiver) refuseSignature(err error, now time.Time) reply {
	r.refusals.add(InvalidSignature, err, now, r.options.Log)
	return reply{http.StatusUnauthorized, "invalid signature"}
}

func (r *Receiver) refuseBody(err error, now time.Time) reply {
	if _, tooLarge := errors.AsType[*http.MaxBytesError](err); tooLarge {
		r.refusals.add(BodyTooLarge, errBodyTooLarge, now, r.options.Log)
		return reply{http.StatusRequestEntityTooLarge, "body too large"}
	}
	if errors.Is(err, errOverloaded) {
		r.refusals.add(Overloaded, err, now, r.options.Log)
		return reply{http.StatusServiceUnavailable, "busy, please retry"}
	}
	return reply{http.StatusBadRequest, "incomplete body"}
}

// notFound answers every other path. A webhook URL with a slash at its end comes here.
func (r *Receiver) notFound(c *gin.Context) {
	r.refusals.add(UnknownPath, errUnknownPath, r.options.Now(), r.options.Log)
	c.String(http.StatusNotFound, "404 page not found")
}

// recovered answers after a panic. The value of the panic is not logged, because it may quote the request.
func (r *Receiver) recovered(c *gin.Context, _ any) {
	r.options.Log.Error("panic in the webhook receiver")
	c.AbortWithStatus(http.StatusInternalServerError)
}
