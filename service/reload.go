package service

import (
	"context"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/termed/termed/config"
	"github.com/termed/termed/counter"
)

// Reload takes from an edited configuration what can change while the service runs: the terms, the names of the keys in
// extra_data and the notifications. A configuration with a mistake is rejected as a whole.
func (s *Service) Reload(ctx context.Context, load func() (config.Config, error)) {
	if err := s.reload(ctx, load); err != nil {
		s.log.Error("configuration rejected, keeping the previous one", "problems", err.Error())
	}
}

func (s *Service) reload(ctx context.Context, load func() (config.Config, error)) error {
	next, err := load()
	if err != nil {
		return err
	}
	rules, endpoints, err := Rules(next)
	if err != nil {
		return err
	}
	now := time.Now().UnixMilli()
	rules.Listed, err = s.store.ListSKUs(ctx, rules.Terms.SKUs(), now)
	if err != nil {
		return err
	}
	changes, restart := changesAtOnce(s.config, next), changesAtRestart(s.config, next)
	s.reloading.Lock()
	s.config.Terms, s.config.Keys = next.Terms, next.Keys
	s.config.Notifications = next.Notifications
	s.config.Mode, s.config.Brake = next.Mode, next.Brake
	s.reloading.Unlock()
	s.sender.Reload(endpoints)
	s.app.Reload(rules)
	if !rules.Observe {
		s.retryWithheld(ctx)
	}
	for _, change := range changes {
		s.log.Info("configuration changed", "change", change)
	}
	if len(restart) > 0 {
		s.log.Warn("configuration changed, restart needed", "settings", strings.Join(restart, ", "))
	}
	s.log.Info("configuration reloaded; running subscriptions keep their length, see termed plan", "changes", len(changes))
	s.health.prove(s.app.Ping(ctx))
	return nil
}

// changesAtOnce says in sentences what another configuration changes without a restart.
func changesAtOnce(old, next config.Config) []string {
	changes := termChanges(Terms(old), Terms(next))
	if old.Mode != next.Mode {
		changes = append(changes, "mode: "+next.Mode)
	}
	if old.Brake != next.Brake {
		changes = append(changes, fmt.Sprintf("brake: %d ends an hour, or %d %% of the active subscriptions",
			next.Brake.EndsPerHour, next.Brake.Percent))
	}
	if old.Keys != next.Keys {
		changes = append(changes, "extra_data_keys: each subscription gets the new names at its next sync")
	}
	if !reflect.DeepEqual(old.Notifications, next.Notifications) {
		changes = append(changes, fmt.Sprintf("notifications: %d endpoint(s)", len(next.Notifications.Endpoints)))
	}
	return changes
}

func termChanges(old, next []counter.Term) []string {
	var changes []string
	before, after := byName(old), byName(next)
	for _, term := range next {
		was, known := before[term.Name]
		switch {
		case !known:
			changes = append(changes, fmt.Sprintf("term %q is new: %s", term.Name, strings.Join(sentences(term), "; ")))
		case !reflect.DeepEqual(was, term):
			changes = append(changes, fmt.Sprintf("term %q: %s", term.Name, newSentences(was, term)))
		}
	}
	for _, term := range old {
		if _, known := after[term.Name]; !known {
			changes = append(changes, fmt.Sprintf(
				"term %q was removed: its subscriptions keep the length that they started with", term.Name))
		}
	}
	return changes
}

// newSentences is what a term says that it did not say before.
func newSentences(was, term counter.Term) string {
	before := sentences(was)
	added := slices.DeleteFunc(sentences(term), func(line string) bool { return slices.Contains(before, line) })
	if len(added) == 0 {
		return "a SKU or a key was removed, or the cancel reason changed"
	}
	return strings.Join(added, "; ")
}

// changesAtRestart names the settings that differ and stay as they are until a restart.
func changesAtRestart(old, next config.Config) []string {
	same := map[string]bool{
		"listen":      old.Listen == next.Listen,
		"console":     reflect.DeepEqual(old.Console, next.Console),
		"database":    old.Database == next.Database,
		"migrate":     old.Migrate == next.Migrate,
		"ordergroove": reflect.DeepEqual(old.Ordergroove, next.Ordergroove),
		"webhook":     old.Webhook == next.Webhook,
		"keep_events": old.KeepEvents == next.KeepEvents,
		"reconcile":   old.Reconcile == next.Reconcile,
	}
	maps.DeleteFunc(same, func(_ string, unchanged bool) bool { return unchanged })
	return slices.Sorted(maps.Keys(same))
}

func byName(terms []counter.Term) map[string]counter.Term {
	named := map[string]counter.Term{}
	for _, t := range terms {
		named[t.Name] = t
	}
	return named
}

// sentences are all sentences that `termed check` prints of a term.
func sentences(term counter.Term) []string {
	var all []string
	for _, sku := range term.SKUs {
		all = append(all, term.Sentence(sku))
	}
	for _, rule := range term.Rules() {
		all = append(all, rule.Sentence)
	}
	return all
}
