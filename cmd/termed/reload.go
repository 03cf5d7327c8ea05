package main

import (
	"context"
	"fmt"
	"os"
	"reflect"
	"slices"
	"strings"

	"github.com/termed/termed/config"
	"github.com/termed/termed/counter"
)

// reloadOn puts an edited configuration in force at each signal, until ctx is done.
func (s *service) reloadOn(ctx context.Context, hangups <-chan os.Signal, load func() (config.Config, error)) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-hangups:
			s.reload(load)
		}
	}
}

// reload takes what can change while the service runs: the terms, the names in extra_data and the notices. A faulty file is
// refused as a whole, and what was in force stays so.
func (s *service) reload(load func() (config.Config, error)) {
	next, err := load()
	if err != nil {
		s.log.Error("the configuration was refused; the one before stays in force", "problems", err.Error())
		return
	}
	rules, book, err := rulesOf(next)
	if err != nil {
		s.log.Error("the configuration was refused; the one before stays in force", "problems", err.Error())
		return
	}
	changes, restart := differences(s.config, next)
	s.config.Terms, s.config.Keys, s.config.Notices = next.Terms, next.Keys, next.Notices
	s.sender.Reload(book)
	s.app.Reload(rules)
	for _, change := range changes {
		s.log.Info("changed", "what", change)
	}
	if len(restart) > 0 {
		s.log.Warn("changed in the file, and in force after a restart", "settings", strings.Join(restart, ", "))
	}
	s.log.Info("the configuration was read again; what is under way keeps its length, see termed plan", "changes", len(changes))
}

// differences says in sentences what another configuration changes at once, and names the settings that need a restart.
func differences(old, next config.Config) (changes, restart []string) {
	before, after := byName(termsOf(old)), byName(termsOf(next))
	for _, term := range termsOf(next) {
		was, known := before[term.Name]
		switch {
		case !known:
			changes = append(changes, fmt.Sprintf("term %q is new: %s", term.Name, strings.Join(sentences(term), "; ")))
		case !reflect.DeepEqual(was, term):
			told := slices.DeleteFunc(sentences(term), func(line string) bool { return slices.Contains(sentences(was), line) })
			if len(told) == 0 {
				told = []string{"less than before"} // a SKU or a member is gone, or the reason for cancelling is another
			}
			changes = append(changes, fmt.Sprintf("term %q: %s", term.Name, strings.Join(told, "; ")))
		}
	}
	for _, term := range termsOf(old) {
		if _, known := after[term.Name]; !known {
			changes = append(changes, fmt.Sprintf("term %q is gone: its subscriptions keep what they started with", term.Name))
		}
	}
	if old.Keys != next.Keys {
		changes = append(changes, "extra_data_keys: each subscription has the new names after its next look")
	}
	if !reflect.DeepEqual(old.Notices, next.Notices) {
		changes = append(changes, fmt.Sprintf("notices: %s", plural(len(next.Notices.Endpoints), "endpoint")))
	}
	for name, same := range map[string]bool{
		"listen": old.Listen == next.Listen, "console": old.Console == next.Console, "database": old.Database == next.Database,
		"migrate": old.Migrate == next.Migrate, "ordergroove": reflect.DeepEqual(old.Ordergroove, next.Ordergroove),
		"webhook": old.Webhook == next.Webhook, "keep_events": old.KeepEvents == next.KeepEvents, "reconcile": old.Reconcile == next.Reconcile,
	} {
		if !same {
			restart = append(restart, name)
		}
	}
	slices.Sort(restart)
	return changes, restart
}

func byName(terms []counter.Term) map[string]counter.Term {
	named := map[string]counter.Term{}
	for _, t := range terms {
		named[t.Name] = t
	}
	return named
}

// sentences are all that a term says.
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
