package config

// descriptions say what each key of the file is, in Markdown, for docs/configuration.md and the schema.
var descriptions = map[string]string{
	"listen":   "the address for webhooks, behind a TLS proxy",
	"database": "a file (SQLite), or `postgres://user@host/database`",
	"migrate":  "`manual`: only `termed migrate up` changes the schema",
	"mode": "`observe`: everything is received and counted, and nothing is changed at Ordergroove: " +
		"[brake.md](brake.md)",
	"keep_events": "how long settled events and delivered notifications are kept; at least " +
		"`webhook.max_age`",
	"timezone": "the shop's, by its IANA name (`America/New_York`): dates of " +
		"[adjustments](adjustments.md) are in it",
	"platform": "`shopify`: the payment method of one order is not changed",

	"console": "for operators and agents: [console.md](console.md)",
	"console.listen": "the address for operators; elsewhere than on loopback it needs `public_url`, " +
		"and users, tokens or single sign-on: [below](#who-may-use-the-console)",
	"console.public_url": "as browsers open the console: `https://termed.example.com`; default: the " +
		"address it listens at",
	"console.users":              "who signs in",
	"console.users[].name":       "the name to sign in with; the journal shows it",
	"console.users[].role":       "what the person [may do](#who-may-use-the-console)",
	"console.users[].password":   "the hash that `termed hash-password` prints",
	"console.tokens":             "applications that send a token",
	"console.tokens[].name":      "the application's name; the journal shows it",
	"console.tokens[].role":      "what the application [may do](#who-may-use-the-console)",
	"console.tokens[].hash":      "the hash that `termed hash-password --token` prints",
	"console.oidc":               "[single sign-on](#single-sign-on)",
	"console.oidc.issuer":        "the provider's issuer: `https://login.example.com`",
	"console.oidc.client_id":     "the client ID that the provider has for termed",
	"console.oidc.client_secret": "the client secret, as a variable",
	"console.oidc.name":          "what the button says",
	"console.oidc.scopes":        "scopes to ask for besides `openid`, `profile` and `email`",
	"console.oidc.groups_claim":  "the claim of the ID token that has the groups",
	"console.oidc.name_claim":    "the claim that names the actor in the journal",
	"console.oidc.groups":        "which groups have which role",
	"console.oidc.groups[].name": "the group's name at the provider",
	"console.oidc.groups[].role": "what those in it [may do](#who-may-use-the-console)",
	"console.actions":            "what agents and operators may do to a subscription",
	"console.frame_ancestors": "the origins that may show pages of customers in a frame, such as " +
		"`https://helpdesk.example.com`",
	"console.profiles": "`true`: operators may read profiles of the running process below " +
		"`/debug/pprof/`, as [performance.md](performance.md#where-the-time-goes) says",

	"ordergroove":              "access to Ordergroove's API, and the keys of its webhooks",
	"ordergroove.api_url":      "Ordergroove's REST API",
	"ordergroove.api_key":      "from the Ordergroove Admin, with Bulk Operations",
	"ordergroove.webhook_keys": "the verification keys of the webhook; two during a rotation",
	"ordergroove.requests_per_minute": "for all services together; Ordergroove allows 6,000 per IP " +
		"address, and the rest is for commands",
	"ordergroove.outgoing_group": "only if services of one database have several IP addresses: a name " +
		"for the one that this service has",

	"brake": "what slows down ends that nobody saw coming: [brake.md](brake.md)",
	"brake.ends_per_hour": "how many subscriptions that were complete when termed first saw them may " +
		"be ended in an hour: this number, or the percentage if that is more",
	"brake.percent": "of the active subscriptions",

	"webhook":           "what the receiver accepts",
	"webhook.max_age":   "the age of a signature; Ordergroove retries for up to three days",
	"webhook.max_ahead": "how far Ordergroove's clock may be ahead",
	"webhook.max_body":  "bytes",
	"webhook.max_gap": "the longest time without a webhook before an " +
		"[alarm](operations.md#when-no-webhook-arrives): a time (`6h`), learned from the shop, or `off`",

	"webhook.public_url": "where Ordergroove sends its webhooks, for `termed doctor`: " +
		"`https://your-host/webhooks/ordergroove`",

	"backup":       "backups that the service makes by itself, of SQLite: [operations.md](operations.md#backups)",
	"backup.to":    "a folder, best on another disk; without it no backup is made",
	"backup.every": "how often",
	"backup.keep":  "how many are kept; older ones are deleted",

	"reconcile": "how often subscriptions are compared with Ordergroove",
	"reconcile.every": "how often those that were updated recently are compared; `off`: only when you " +
		"run `termed reconcile`",
	"reconcile.full": "how often all of them are compared",

	"extra_data_keys":         "the names of the keys in `extra_data` that termed manages; your theme reads them",
	"extra_data_keys.counter": "the recipe's counter",
	"extra_data_keys.termed":  "the recipe's mark of a termed subscription",
	"extra_data_keys.hide":    "the recipe's key that hides a subscription",
	"extra_data_keys.total": "for your theme: the number of shipments of the term; off unless named: " +
		"[storefront.md](storefront.md)",
	"extra_data_keys.made": "for your theme: the number of shipments made; off unless named",
	"extra_data_keys.last": "for your theme: `true` while the next shipment is the last; off unless named",

	"notifications": "signed webhooks to your other systems: [notifications.md](notifications.md)",
	"notifications.last_shipment_days": "days before the last order to announce it; 0: when one " +
		"shipment remains",
	"notifications.endpoints":           "where notifications go",
	"notifications.endpoints[].url":     "the address to post to",
	"notifications.endpoints[].name":    "a name for people; default: the host of the URL",
	"notifications.endpoints[].secrets": "the signing secrets, `whsec_` and base64; two during a rotation",
	"notifications.endpoints[].types":   "which notifications go there; default: all",
	"notifications.endpoints[].private": "`true`: the URL may be http, and may point to an address of " +
		"your own network",

	"discount_codes":                "the codes that adjustments may use",
	"discount_codes.*.percentage":   "of 100; write either this or `fixed_amount`",
	"discount_codes.*.fixed_amount": "in the shop's currency, with up to two decimals",
	"discount_codes.*.until":        "the last day on which it may be used: `2026-12-31`",
	"discount_codes.*.active":       "`false`: it is not used any more",

	"terms":             "what you sell: [terms.md](terms.md)",
	"terms[].name":      "for people; each term has its own",
	"terms[].skus":      "Ordergroove product IDs; each SKU belongs to one term",
	"terms[].shipments": "in total",
	"terms[].first_shipment": "`checkout`: the checkout order is shipment 1, and the counter starts " +
		"one lower; `recurring`: the first recurring order is",
	"terms[].cancel_reason":         "the reason that Ordergroove records when a subscription is canceled",
	"terms[].cancel_reason.code":    "one of your Ordergroove cancel reason codes",
	"terms[].cancel_reason.details": "a text, without `|`",
	"terms[].prepaid_renewal": "`cancel`: a prepaid subscription ends with its paid orders; `keep`: " +
		"its renewal is not changed",
	"terms[].on_complete":          "what happens [at the end](terms.md): a word, or `{ swap: { sku: COFFEE } }`",
	"terms[].on_complete.swap":     "continue as another product",
	"terms[].on_complete.swap.sku": "the product, which is in no term",
	"terms[].on_reactivation":      "after a reactivation of a completed subscription",
	"terms[].on_swap":              "whether shipments count that were made before a swap to a product of this term",
	"terms[].set":                  "further keys in the `extra_data` of all its subscriptions",
	"terms[].adjustments":          "changes of single shipments: [adjustments.md](adjustments.md)",
}
