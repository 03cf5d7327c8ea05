package console

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/termed/termed/cancelapp"
	"github.com/termed/termed/cancelapp/agent"
	"github.com/termed/termed/console/access"
	"github.com/termed/termed/counter"
	"github.com/termed/termed/ledger"
	"github.com/termed/termed/ordergroove"
)

// maxForm bounds the body of a form.
const maxForm = 16 << 10

// actionForm is one action that a person may take on a subscription, with what it will do in a sentence.
type actionForm struct {
	Name, What string
	Path       string
	Key        string // the idempotency key of what this form does, however often it is sent
	Back       string // where to go afterwards; "": to the subscription
	Danger     bool
	Fields     []field
}

type field struct {
	Name, Label, Type, Value string
	Required                 bool
	Min                      int
	Options                  []option
}

// reasonField asks for the reason that the journal records.
var reasonField = field{Name: "reason", Label: "Reason, for the journal", Type: "text", Required: true}

// actionForms are the actions that fit a subscription and that the person may take.
func (c *Console) actionForms(g *gin.Context, ctx context.Context, s ledger.Subscription, back string) []actionForm {
	path := "/subscriptions/" + url.PathEscape(s.ID) + "/"
	key := rand.Text()
	var forms []actionForm
	add := func(action access.Action, fits bool, f actionForm) {
		if fits && c.may(g, action) {
			f.Path = path + f.Path
			f.Key = key + "-" + strconv.Itoa(len(forms))
			f.Back = back
			forms = append(forms, f)
		}
	}
	changing := s.Live && !c.App.Rules().Observe && c.App.LatestBrake().Pause.Since == 0
	shown := ""
	if changing && back == "" && c.may(g, access.Skip) {
		shown = c.shownOrder(ctx, s) // a page of one subscription shows its next order, one of a customer does not
	}
	add(access.Skip, changing, actionForm{
		Name: "Skip next order",
		Path: "skip",
		What: "Takes this subscription’s items off its next order. The order after it follows by its frequency, and the " +
			"term lasts as many shipments as before.",
		Fields: []field{{Name: "order", Type: "hidden", Value: shown}},
	})
	if back == "" && !c.App.Rules().Observe {
		c.offerAdjustments(s, add)
	}
	offerEdits(s, add)
	var reasons []option
	if changing && c.may(g, access.Cancel) {
		reasons = c.reasonOptions(ctx)
	}
	add(access.Cancel, changing, actionForm{
		Name:   "Cancel subscription",
		Path:   "cancel",
		Danger: true,
		What:   "Cancels it at Ordergroove now, and any later shipment with it. This cannot be undone here.",
		Fields: []field{
			{Name: "code", Label: "Reason", Options: reasons},
			{Name: "details", Label: "Details", Type: "text"},
		},
	})
	return forms
}

// offerEdits adds what operators change in the record of a subscription, as far as it fits.
func offerEdits(s ledger.Subscription, add func(action access.Action, fits bool, f actionForm)) {
	termed := s.State != counter.Released && !s.IsReleasing()
	shipments := field{
		Name:     "shipments",
		Label:    "Shipments in all",
		Type:     "number",
		Required: true,
		Value:    strconv.Itoa(s.ShipmentsTotal()),
		Min:      max(1, s.ShipmentsMade()),
	}
	add(access.Operate, termed && !s.Prepaid && !s.IsNew(), actionForm{
		Name:   "Change length",
		Path:   "length",
		What:   fmt.Sprintf("Sets how many shipments the term lasts in all; %d are made.", s.ShipmentsMade()),
		Fields: []field{shipments, reasonField},
	})
	add(access.Operate, counter.NeedsApproval(s.Subscription), actionForm{
		Name: "Approve",
		Path: "approve",
		What: "Lets it be written, and ended when its term is complete: hidden and canceled, which cannot be undone. " +
			"If it is complete, that is at once.",
		Danger: s.Remaining() == 0,
		Fields: []field{reasonField},
	})
	add(access.Operate, termed, actionForm{
		Name: "Release",
		Path: "release",
		What: "Takes it out of its term: termed’s keys are removed and it renews until somebody cancels it. Enroll again " +
			"takes this back.",
		Fields: []field{reasonField},
	})
	add(access.Operate, s.ClosedAs == counter.ClosedReleased, actionForm{
		Name:   "Enroll again",
		Path:   "enroll",
		What:   "Takes the release back: it is in its term where it was, and what was placed meanwhile counts.",
		Fields: []field{reasonField},
	})
	add(access.Operate, termed && (s.Error != "" || s.State == counter.Attention), actionForm{
		Name: "Retry now",
		Path: "retry",
		What: "Syncs it again at once.",
	})
}

// shownOrder is the order that a skip is about, if it is known without asking; "": whichever is next.
func (c *Console) shownOrder(ctx context.Context, s ledger.Subscription) string {
	asking, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	asking = ordergroove.WithPriority(asking, ordergroove.Urgent)
	orders, err := c.App.API().Orders(asking, s.ID, ordergroove.StatusUnsent)
	if err != nil {
		return ""
	}
	id, _ := cancelapp.NextOrder(orders)
	return id
}

// reasonCache keeps the shop's cancel reasons, which change seldom.
type reasonCache struct {
	mu    sync.Mutex
	asked time.Time
	known Reasons
}

const reasonsFor = 10 * time.Minute

func (c *Console) reasonOptions(ctx context.Context) []option {
	c.reasons.mu.Lock()
	defer c.reasons.mu.Unlock()
	if c.Now().Sub(c.reasons.asked) > reasonsFor {
		asking, cancel := context.WithTimeout(ctx, 2*time.Second)
		defer cancel()
		c.reasons.asked = c.Now()
		c.reasons.known = c.Reasons(asking)
	}
	options := []option{{"", "no reason", true}}
	for _, r := range c.reasons.known {
		options = append(options, option{Value: r.Code, Text: strings.TrimSpace(r.Code + " " + r.Text)})
	}
	return options
}

func (c *Console) addForms(engine *gin.Engine) {
	edit := func(name string, make func(*gin.Context) (agent.Edit, error)) {
		engine.POST("/subscriptions/:id/"+name, func(g *gin.Context) { c.postEdit(g, make) })
	}
	engine.POST("/subscriptions/:id/cancel", func(g *gin.Context) { c.postAction(g, ledger.ActionCancel) })
	engine.POST("/subscriptions/:id/skip", func(g *gin.Context) { c.postAction(g, ledger.ActionSkip) })
	edit("length", func(g *gin.Context) (agent.Edit, error) {
		n, err := strconv.Atoi(g.PostForm("shipments"))
		if err != nil {
			return agent.Edit{}, fmt.Errorf("%w: %q is not a number", counter.ErrRefused, g.PostForm("shipments"))
		}
		return agent.SetLength(n), nil
	})
	edit("approve", func(*gin.Context) (agent.Edit, error) { return agent.Approve(), nil })
	edit("release", func(*gin.Context) (agent.Edit, error) { return agent.Release(), nil })
	edit("enroll", func(*gin.Context) (agent.Edit, error) { return agent.Enroll(c.App.Rules().Terms), nil })
	engine.POST("/subscriptions/:id/retry", c.postRetry)
	engine.POST("/subscriptions/:id/adjustments", c.postAdjustment)
	engine.POST("/subscriptions/:id/adjustments/:adjustment/cancel", c.postCancelAdjustment)
	engine.POST("/events/retry", c.postRetryEvents)
	engine.POST("/events/:created/:id/retry", c.postRetryEvent)
	engine.POST("/reconcile", c.postReconcile)
	engine.POST("/pause", c.postPause)
	engine.POST("/resume", c.postResume)
}

// actor is who makes the request, for the journal.
func actor(ctx context.Context) string {
	p, _ := access.PrincipalFrom(ctx)
	return p.Name
}

// form bounds and reads the body.
func (c *Console) form(g *gin.Context) bool {
	g.Request.Body = http.MaxBytesReader(g.Writer, g.Request.Body, maxForm)
	if err := g.Request.ParseForm(); err != nil {
		c.message(g, http.StatusBadRequest, "Not readable", "The form could not be read.", "/")
		return false
	}
	return true
}

var permissionOf = map[ledger.ActionKind]access.Action{
	ledger.ActionCancel: access.Cancel,
	ledger.ActionSkip:   access.Skip,
}

func (c *Console) postAction(g *gin.Context, kind ledger.ActionKind) {
	if c.forbidden(g, permissionOf[kind]) || !c.form(g) {
		return
	}
	id := g.Param("id")
	r := agent.Request{
		Key:          g.PostForm("key"),
		Subscription: id,
		Kind:         kind,
		Actor:        actor(g.Request.Context()),
		Reason:       reasonText(g.PostForm("code"), g.PostForm("details")),
		Order:        g.PostForm("order"),
	}
	done, err := c.Agent.Do(context.WithoutCancel(g.Request.Context()), r)
	if err != nil {
		c.refuse(g, id, err)
		return
	}
	g.Redirect(http.StatusSeeOther, withQuery(c.back(g, id), nil, "done", done.Key))
}

// reasonText is a cancel reason as Ordergroove takes it.
func reasonText(code, details string) string {
	if code == "" && details == "" {
		return ""
	}
	if code == "" {
		code = "1" // other
	}
	return code + "|" + details
}

// back is where the form came from: the subscription, or its customer.
func (c *Console) back(g *gin.Context, id string) string {
	if back := g.PostForm("back"); strings.HasPrefix(back, "/customers/") {
		return back
	}
	return "/subscriptions/" + url.PathEscape(id)
}

// refuse says why something was not done.
func (c *Console) refuse(g *gin.Context, id string, err error) {
	back := c.back(g, id)
	switch {
	case errors.Is(err, counter.ErrRefused):
		c.message(g, http.StatusConflict, "Not done", sentence(strings.TrimPrefix(reasonOf(err), "refused: ")), back)
	case errors.Is(err, agent.ErrBusy):
		c.message(g, http.StatusConflict, "Not done", "The subscription is being synced. Try again in a moment.", back)
	case errors.Is(err, ledger.ErrActionExists):
		c.message(g, http.StatusConflict, "Not done", "This form was used for something else. Go back and try again.", back)
	case errors.Is(err, ledger.ErrUnknown):
		c.fail(g, err)
	default:
		if _, ok := errors.AsType[*ordergroove.Error](err); ok || cancelapp.IsOutage(err) {
			c.message(g, http.StatusBadGateway, "Not done", sentence(explainError(err))+" Nothing was sent.", back)
			return
		}
		c.fail(g, err)
	}
}

// reasonOf is what a refusal says, without what was being done.
func reasonOf(err error) string {
	if _, why, ok := strings.Cut(err.Error(), counter.ErrRefused.Error()+": "); ok {
		return why
	}
	return err.Error()
}

func sentence(text string) string {
	if text == "" {
		return ""
	}
	return strings.ToUpper(text[:1]) + text[1:] + "."
}

func (c *Console) postEdit(g *gin.Context, make func(*gin.Context) (agent.Edit, error)) {
	if c.forbidden(g, access.Operate) || !c.form(g) {
		return
	}
	id := g.Param("id")
	edit, err := make(g)
	if err == nil && strings.TrimSpace(g.PostForm("reason")) == "" {
		err = fmt.Errorf("%w: a reason is missing; the journal records it", counter.ErrRefused)
	}
	if err == nil {
		_, _, err = edit.Do(g.Request.Context(), c.Store, id, actor(g.Request.Context()), g.PostForm("reason"))
	}
	if err != nil {
		c.refuse(g, id, err)
		return
	}
	g.Redirect(http.StatusSeeOther, withQuery(c.back(g, id), nil, "saved", edit.What))
}

func (c *Console) postRetry(g *gin.Context) {
	if c.forbidden(g, access.Operate) || !c.form(g) {
		return
	}
	id := g.Param("id")
	n, err := c.Store.RetrySubscriptions(g.Request.Context(), id, c.Now().UnixMilli())
	if err == nil && n == 0 {
		err = ledger.ErrUnknown
	}
	if err != nil {
		c.fail(g, err)
		return
	}
	g.Redirect(http.StatusSeeOther, withQuery(c.back(g, id), nil, "saved", "retry"))
}

func (c *Console) postPause(g *gin.Context) {
	if c.forbidden(g, access.Operate) || !c.form(g) {
		return
	}
	reason := strings.TrimSpace(g.PostForm("reason"))
	if reason == "" {
		c.message(g, http.StatusConflict, "Not done", "A reason is missing; the journal records it.", "/health")
		return
	}
	c.setPause(g, func(p ledger.Pause) error {
		p.Reason = reason
		_, err := c.Store.Pause(g.Request.Context(), p)
		return err
	})
}

func (c *Console) postResume(g *gin.Context) {
	if c.forbidden(g, access.Operate) {
		return
	}
	c.setPause(g, func(p ledger.Pause) error {
		p.Reason = "resumed"
		_, err := c.Store.Resume(g.Request.Context(), p)
		return err
	})
}

func (c *Console) setPause(g *gin.Context, set func(ledger.Pause) error) {
	err := set(ledger.Pause{Since: c.Now().UnixMilli(), Actor: actor(g.Request.Context())})
	if err == nil {
		_, err = c.App.ReadBrake(g.Request.Context()) // or the page would show what was before
	}
	if err != nil {
		c.fail(g, err)
		return
	}
	g.Redirect(http.StatusSeeOther, "/health")
}

// flash says what became of what the person did just now.
func (c *Console) flash(g *gin.Context, ctx context.Context) []banner {
	q := g.Request.URL.Query()
	switch {
	case q.Get("done") != "":
		a, found, err := c.Store.Action(ctx, q.Get("done"))
		if err != nil || !found {
			return nil
		}
		b := actionBanner(a)
		b.Flash = true
		if a.IsOpen() {
			b.Refresh = g.Request.URL.RequestURI()
		}
		return []banner{b}
	case q.Get("saved") == "adjustment":
		return []banner{{Kind: "ok", Text: "Saved", Detail: "the list of adjustments says what becomes of it", Flash: true}}
	case q.Get("saved") != "":
		return []banner{{Kind: "ok", Text: "Saved", Detail: "the next sync carries it out, within seconds", Flash: true}}
	case q.Get("retried") != "":
		n := atoi(q.Get("retried"), 0)
		return []banner{{Kind: "ok", Text: plural(n, "event") + " will be retried now", Flash: true}}
	}
	return nil
}

// actionBanner says what became of an action.
func actionBanner(a ledger.Action) banner {
	done, not := "Canceled", "Not canceled"
	if a.Kind == ledger.ActionSkip {
		done, not = "Skipped the next order", "Not skipped"
	}
	switch a.Status {
	case ledger.ActionDone:
		return banner{Kind: "ok", Text: done}
	case ledger.ActionFailed:
		return banner{Kind: "bad", Text: not + ": " + a.Detail}
	}
	return banner{Text: "Outcome unknown, checking", Detail: "Ordergroove did not answer in time; nothing more is sent"}
}
