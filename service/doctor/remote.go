package doctor

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/termed/termed/ordergroove"
	"github.com/termed/termed/store"
	"github.com/termed/termed/webhook"
)

// Checks of Ordergroove's side: the key, the clock, the permission, the way of a webhook, what arrives.

func examineKey(ctx context.Context, in *Installation) Finding {
	err := in.Client.Ping(ctx)
	in.refused = errors.Is(err, ordergroove.ErrUnauthorized)
	if in.refused && in.list(ctx) == nil {
		in.refused = false
		return ok("Ordergroove at %s accepts it; it may not read the shop's cancel reasons, so agents choose from the "+
			"standard ones", in.Config.Ordergroove.APIURL)
	}
	switch {
	case err == nil:
		return ok("Ordergroove at %s accepts it", in.Config.Ordergroove.APIURL)
	case in.refused:
		return failure("compare api_key with the key in the Ordergroove Admin", "%v", err)
	}
	return failure("see whether Ordergroove is up, and whether this machine reaches it", "%v", err)
}

const (
	harmlessSkew = 5 * time.Second // Ordergroove's clock has seconds
	worseSkew    = time.Minute
)

func examineClock(_ context.Context, in *Installation) Finding {
	skew, known := in.Client.ClockSkew()
	if !known {
		return skipped("Ordergroove's answers have no date")
	}
	const do = "synchronize the clock of this machine: signatures carry times"
	says := fmt.Sprintf("this machine's clock is %s %s Ordergroove's", skew.Abs().Round(time.Second), map[bool]string{
		true:  "behind",
		false: "ahead of",
	}[skew > 0])
	switch {
	case skew.Abs() > min(worseSkew, in.Config.Webhook.MaxAhead):
		return failure(do, "%s", says)
	case skew.Abs() > harmlessSkew:
		return warning(do, "%s", says)
	}
	return ok("it agrees with Ordergroove's")
}

func examineBulk(ctx context.Context, in *Installation) Finding {
	if in.refused {
		return skipped("the key is refused altogether")
	}
	err := in.list(ctx)
	switch {
	case err == nil:
		return ok("the key may list the subscriptions of all customers")
	case errors.Is(err, ordergroove.ErrUnauthorized):
		return failure("give the key Bulk Operations in the Ordergroove Admin: without it, lost webhooks stay lost",
			"the key may not list the subscriptions of all customers: %v", err)
	}
	return skipped("%v", err)
}

// list asks for the subscriptions of all customers.
func (in *Installation) list(ctx context.Context) error {
	sku := ""
	for _, t := range in.Config.Terms {
		if len(t.SKUs) > 0 {
			sku = t.SKUs[0]
			break
		}
	}
	_, err := in.Client.Subscriptions(ctx, ordergroove.SubscriptionQuery{Product: sku, LiveOnly: true}, "")
	return err
}

// examinePublicURL sends a signed probe on the way of a webhook. The receiver answers it and files nothing.
func examinePublicURL(ctx context.Context, in *Installation) Finding {
	if in.PublicURL == "" {
		return skipped("set webhook.public_url, or add --url, to send a signed probe on the way of a webhook")
	}
	u, err := url.Parse(in.PublicURL)
	if err != nil || u.Host == "" {
		return failure("write https://your-host"+webhook.Path, "%q is not a URL", in.PublicURL)
	}
	if len(in.Config.Ordergroove.WebhookKeys) == 0 {
		return skipped("without webhook_keys nothing can be signed")
	}
	nonce := make([]byte, 16)
	_, _ = rand.Read(nonce) // never fails
	probe := hex.EncodeToString(nonce)
	status, answer, err := deliver(ctx, u, webhook.Probe(probe), in.Config.Ordergroove.WebhookKeys[0].Reveal(), in.Now())
	says := fmt.Sprintf("%s answers %d", in.PublicURL, status)
	switch {
	case err != nil:
		return failure("see whether the name resolves to the proxy, and whether its certificate is valid", "%v", err)
	case status == http.StatusOK && strings.Contains(answer, webhook.ProbeAnswer(probe)):
		if u.Scheme != "https" {
			return warning("use https: Ordergroove sends personal data", "the signed probe came through, unencrypted")
		}
		return ok("the signed probe came through %s with its signature intact", u.Host)
	case status == http.StatusUnauthorized:
		return failure("the proxy must pass on body and headers unchanged; or the service has other webhook_keys",
			"%s: the signature did not arrive intact", says)
	case status == http.StatusNotFound:
		return failure("the proxy must pass on "+webhook.Path, "%s: the path is unknown there", says)
	case status/100 == 5:
		return failure("start termed serve, and see whether the proxy reaches listen", "%s", says)
	}
	return failure("see whether the URL leads to termed", "%s, and not as termed does", says)
}

// deliver sends a body as Ordergroove sends it.
func deliver(ctx context.Context, u *url.URL, body []byte, key string, now time.Time) (int, string, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, u.String(), bytes.NewReader(body))
	if err != nil {
		return 0, "", err
	}
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set(ordergroove.SignatureHeader, ordergroove.Sign(now, body, key))
	response, err := client.Do(request)
	if err != nil {
		return 0, "", err
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(response.Body, 1000))
	return response.StatusCode, string(answer), err
}

// The events that should be ticked in the Ordergroove Admin (docs/operations.md). What must arrive in every shop is
// necessary; the others show only when somebody does something.
var (
	necessary = []string{"subscription.create", "order.success"}
	useful    = []string{"subscription.cancel", "subscription.reactivate", "subscription.sku_swap"}
)

func examineWebhooks(ctx context.Context, in *Installation) Finding {
	if in.Store == nil {
		return skipped("there is no database")
	}
	arrived, err := in.Store.LastOfTypes(ctx, append(append([]string{}, necessary...), useful...))
	if err != nil {
		return failure("see what the database says", "%v", err)
	}
	if len(arrived) == 0 {
		return warning("create the webhook in the Ordergroove Admin, as docs/operations.md says", "none has arrived yet")
	}
	last := int64(0)
	for _, at := range arrived {
		last = max(last, at)
	}
	says := "the last one " + ago(in.Now(), last)
	if missing := without(necessary, arrived); len(missing) > 0 {
		return failure("tick them in the Ordergroove Admin, at the webhook to termed", "%s; none of %s has arrived", says,
			strings.Join(missing, ", "))
	}
	if missing := without(useful, arrived); len(missing) > 0 {
		return ok("%s; no %s yet, which is right if nobody did that, and they are ticked", says, strings.Join(missing, ", "))
	}
	return ok("%s; all types have arrived", says)
}

func without(types []string, arrived map[string]int64) []string {
	var missing []string
	for _, name := range types {
		if arrived[name] == 0 {
			missing = append(missing, name)
		}
	}
	return missing
}

const week = 7 * 24 * time.Hour

func examineItems(ctx context.Context, in *Installation) Finding {
	if in.Store == nil {
		return skipped("there is no database")
	}
	asked, err := in.Store.OrdersReadSince(ctx, in.Now().Add(-week).UnixMilli())
	if err != nil {
		return failure("see what the database says", "%v", err)
	}
	if asked > 0 {
		return warning("extend the payload of order.success by its items, in the Ordergroove Admin",
			"%s of the last week came without their items: each cost an API call", count(asked, "order"))
	}
	return ok("no order of the last week came without its items")
}

// allowedPerMinute is what Ordergroove allows an address (contract, section 2).
const allowedPerMinute = 6000

func examineHeadroom(ctx context.Context, in *Installation) Finding {
	limit := in.Config.Ordergroove.RequestsPerMinute
	if limit > allowedPerMinute {
		return failure("write at most 6000, better 5400, which leaves some for commands",
			"requests_per_minute is %d, and Ordergroove allows %d per address", limit, allowedPerMinute)
	}
	if in.Store == nil {
		return ok("%d a minute of %d", limit, allowedPerMinute)
	}
	backlog, err := in.Store.Backlog(ctx)
	if err != nil {
		return failure("see what the database says", "%v", err)
	}
	wait := time.Duration(float64(2*backlog.Subscriptions)/float64(limit)*float64(time.Minute)) + time.Second
	waiting := count(backlog.Subscriptions, "subscription")
	says := fmt.Sprintf("%d a minute of %d; %s wait", limit, allowedPerMinute, waiting)
	if wait > time.Hour {
		return warning("let it work: an outage or a burst is being made up for", "%s, for about %s", says,
			wait.Round(time.Minute))
	}
	return ok("%s", says)
}

const staleBackup = 2 * 24 * time.Hour

func examineBackup(ctx context.Context, in *Installation) Finding {
	if store.IsServer(in.Config.Database) {
		return skipped("PostgreSQL is backed up with its own tools")
	}
	if in.Store == nil {
		return skipped("there is no database")
	}
	last, err := in.Store.LastBackup(ctx)
	const do = "set backup in termed.yaml, or run termed backup every day"
	switch {
	case err != nil:
		return failure("see what the database says", "%v", err)
	case last == 0:
		return warning(do, "there has been none")
	case in.Now().Sub(time.UnixMilli(last)) > staleBackup:
		return warning(do, "the last one was made %s", ago(in.Now(), last))
	}
	return ok("the last one was made %s", ago(in.Now(), last))
}

func ago(now time.Time, at int64) string {
	d := now.Sub(time.UnixMilli(at))
	switch {
	case d < 2*time.Minute:
		return "a moment ago"
	case d < 2*time.Hour:
		return fmt.Sprintf("%d minutes ago", int(d.Minutes()))
	case d < 2*24*time.Hour:
		return fmt.Sprintf("%d hours ago", int(d.Hours()))
	}
	return fmt.Sprintf("%d days ago", int(d.Hours()/24))
}
