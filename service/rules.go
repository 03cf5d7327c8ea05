package service

import (
	"time"

	"github.com/termed/termed/cancelapp"
	"github.com/termed/termed/config"
	"github.com/termed/termed/counter"
	"github.com/termed/termed/counter/schedule"
	"github.com/termed/termed/ledger"
	"github.com/termed/termed/notify"
	"github.com/termed/termed/ordergroove"
	"github.com/termed/termed/store"
)

// Rules turns a configuration into the workers' rules and the endpoints of its notifications.
func Rules(c config.Config) (cancelapp.Rules, *notify.Endpoints, error) {
	terms, err := counter.NewTerms(counter.Keys(c.Keys), Terms(c))
	if err != nil {
		return cancelapp.Rules{}, nil, err
	}
	endpoints, err := notify.NewEndpoints(endpoints(c))
	if err != nil {
		return cancelapp.Rules{}, nil, err
	}
	rules := cancelapp.Rules{
		Terms:        terms,
		Messages:     endpoints.Messages,
		Observe:      c.Mode == "observe",
		EndLimit:     ledger.EndLimit{PerHour: c.Brake.EndsPerHour, Percent: c.Brake.Percent},
		Schedule:     scheduleSettings(c),
		RemindBefore: time.Duration(c.Notifications.LastShipmentDays) * 24 * time.Hour,
	}
	return rules, endpoints, nil
}

func scheduleSettings(c config.Config) schedule.Settings {
	s := schedule.Settings{
		NoPayment: c.Platform == "shopify",
		Codes:     map[string]schedule.Code{},
		ByTerm:    map[string][]schedule.Spec{},
	}
	if location, err := time.LoadLocation(c.Timezone); err == nil { // it was checked
		s.Location = location
	}
	for _, t := range c.Terms {
		s.ByTerm[t.Name] = t.Adjustments
	}
	for name, code := range c.DiscountCodes {
		s.Codes[name] = schedule.Code{Percent: code.Percent, Value: code.Value, Until: code.Until, Inactive: !code.Active}
	}
	return s
}

// Terms returns the terms of a configuration.
func Terms(c config.Config) []counter.Term {
	terms := make([]counter.Term, len(c.Terms))
	for i, t := range c.Terms {
		terms[i] = counter.Term{
			Name:           t.Name,
			SKUs:           t.SKUs,
			Shipments:      t.Shipments,
			FirstShipment:  counter.First(t.FirstShipment),
			CancelReason:   t.CancelReason,
			KeepRenewal:    t.KeepRenewal,
			OnComplete:     counter.OnComplete(t.OnComplete),
			SwapTo:         t.SwapTo,
			OnReactivation: counter.OnReactivation(t.OnReactivation),
			OnSwap:         counter.OnSwap(t.OnSwap),
			Set:            t.Set,
		}
	}
	return terms
}

func endpoints(c config.Config) []notify.Endpoint {
	var all []notify.Endpoint
	for _, e := range c.Notifications.Endpoints {
		all = append(all, notify.Endpoint{
			Name:    e.Name,
			URL:     e.URL.Reveal(),
			Secrets: reveal(e.Secrets),
			Types:   e.Types,
			Private: e.Private,
		})
	}
	return all
}

// ClientOptions says how a configuration reaches Ordergroove.
func ClientOptions(c config.Config) ordergroove.Options {
	return ordergroove.Options{
		URL:               c.Ordergroove.APIURL,
		Key:               c.Ordergroove.APIKey.Reveal(),
		RequestsPerMinute: c.Ordergroove.RequestsPerMinute,
	}
}

// StoreOptions says how a configuration opens its database next to a running service.
func StoreOptions(c config.Config) store.Options {
	options := store.Options{Database: c.Database, Group: c.Ordergroove.OutgoingGroup, Migrate: store.Auto}
	if c.Migrate == "manual" {
		options.Migrate = store.Manual
	}
	return options
}

func reveal(secrets []config.Secret) []string {
	texts := make([]string, len(secrets))
	for i, s := range secrets {
		texts[i] = s.Reveal()
	}
	return texts
}
