package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/spf13/cobra"

	"github.com/termed/termed/config"
	"github.com/termed/termed/counter"
	"github.com/termed/termed/ledger"
	"github.com/termed/termed/store"
)

var subscriptionStates = []string{
	string(counter.Enrolled),
	string(counter.Active),
	string(counter.Completing),
	string(counter.AwaitingApproval),
	string(counter.Throttled),
	string(counter.BlockingReactivation),
	string(counter.Completed),
	string(counter.Ended),
	string(counter.Released),
	string(counter.Attention),
}

func subscriptionsCommand(env environment) *cobra.Command {
	var path string
	cmd := &cobra.Command{
		Use:   "subscriptions",
		Short: "List enrolled subscriptions, cancel, skip, change their length, release, enroll again and retry them",
	}
	groupConfigFlag(cmd, &path)
	cmd.AddCommand(
		subscriptionsListCommand(env, &path),
		cancelCommand(env, &path),
		skipCommand(env, &path),
		setCommand(env, &path),
		releaseCommand(env, &path),
		enrollCommand(env, &path),
		retryCommand(env, &path, retryable{
			noun:  "subscription",
			list:  "termed subscriptions list",
			which: "subscriptions that failed or need attention",
			retry: (*store.Store).RetrySubscriptions,

			eligible: eligibleSubscription,
		}),
	)
	return cmd
}

func subscriptionsListCommand(env environment, path *string) *cobra.Command {
	var f store.Filter
	var state string
	var limit int
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List subscriptions in the order of enrollment, those that wait by their next order",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := errors.Join(checkState(state, subscriptionStates), checkLimit(limit)); err != nil {
				return err
			}
			f.State = counter.State(state)
			return withStoreAndConfig(cmd.Context(), *path, env, store.Manual, func(s *store.Store, c config.Config) error {
				byOrder := f.State == counter.AwaitingApproval || f.State == counter.Throttled
				most := oneMore(limit)
				if byOrder {
					most = math.MaxInt32
				}
				subscriptions, err := s.Find(cmd.Context(), f, most)
				if err != nil {
					return err
				}
				if len(subscriptions) == 0 {
					if err := checkFilter(cmd.Context(), s, c, f); err != nil {
						return err
					}
				}
				if byOrder {
					slices.SortStableFunc(subscriptions, bySoonestOrder)
				}
				subscriptions, note := cut(subscriptions, limit)
				defer fmt.Fprint(env.stderr, note)
				if asJSON {
					return printJSON(env.stdout, subscriptionsJSON(subscriptions))
				}
				printSubscriptions(env, subscriptions)
				return nil
			})
		},
	}
	stateFlag(cmd, &state, subscriptionStates)
	flags := cmd.Flags()
	flags.StringVar(&f.Term, "term", "", "only subscriptions of this term")
	flags.StringVar(&f.SKU, "sku", "", "only subscriptions of this SKU")
	flags.StringVar(&f.Customer, "customer", "", "only subscriptions of this customer")
	flags.StringVar(&f.Order, "order", "", "only subscriptions with a shipment on this order, or with this order coming")
	flags.StringVar(&f.IDPrefix, "id", "", "only subscriptions whose ID begins with this")
	limitFlag(cmd, &limit)
	jsonFlag(cmd, &asJSON)
	return cmd
}

// checkFilter refuses a term or SKU that neither the configuration nor any subscription has.
func checkFilter(ctx context.Context, s *store.Store, c config.Config, f store.Filter) error {
	terms, skus, err := s.Names(ctx)
	if err != nil {
		return err
	}
	for _, term := range c.Terms {
		terms = append(terms, term.Name)
		skus = append(skus, term.SKUs...)
	}
	slices.Sort(terms)
	slices.Sort(skus)
	return errors.Join(
		checkName("term", f.Term, slices.Compact(terms)),
		checkName("SKU", f.SKU, slices.Compact(skus)))
}

func printSubscriptions(env environment, subscriptions []ledger.Subscription) {
	t := newTable("subscription", "SKU", "term", "shipments made", "state", "attempts", "next sync", "reason")
	for _, sub := range subscriptions {
		t.AppendRow(table.Row{
			sub.ID,
			sub.SKU,
			sub.Term,
			sub.Progress(),
			sub.State,
			sub.Attempts,
			stamp(sub.Due),
			cmp.Or(sub.Reason, sub.Error),
		})
	}
	printList(env, t, "subscriptions")
}

// stateText is a state in a sentence.
func stateText(state counter.State) string {
	switch state {
	case counter.Attention:
		return "needs attention"
	case counter.AwaitingApproval:
		return "awaiting approval"
	}
	return string(state)
}
