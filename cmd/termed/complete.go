package main

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/termed/termed/config"
	"github.com/termed/termed/ordergroove"
	"github.com/termed/termed/store"
)

// Completion in a shell, with what the configured database and termed.yaml have.

const (
	completeWithin = time.Second
	mostCompleted  = 100
)

// names are what a word on the command line may be.
type names func(ctx context.Context, s *store.Store, c config.Config, begin string) ([]string, error)

// completeNames lets a shell complete IDs, terms, SKUs and types of events, of every command that takes one.
func completeNames(cmd *cobra.Command, env environment) {
	for name, list := range map[string]names{
		"term":         termNames,
		"sku":          skuNames,
		"id":           subscriptionIDs,
		"subscription": subscriptionIDs,
		"type":         eventTypes,
	} {
		if cmd.Flags().Lookup(name) != nil {
			_ = cmd.RegisterFlagCompletionFunc(name, complete(env, list)) // the flag exists, and had none
		}
	}
	_, argument, _ := strings.Cut(cmd.Use, " ")
	takesID := strings.HasPrefix(strings.TrimPrefix(argument, "["), "ID")
	group := ""
	if cmd.HasParent() {
		group = cmd.Parent().Name()
	}
	switch {
	case cmd.HasSubCommands() || cmd.ValidArgsFunction != nil:
	case strings.HasPrefix(argument, "FILE"):
	case !takesID || group == "notifications":
		cmd.ValidArgsFunction = cobra.NoFileCompletions
	case group == "events":
		cmd.ValidArgsFunction = complete(env, eventIDs)
	default:
		cmd.ValidArgsFunction = complete(env, subscriptionIDs)
	}
	for _, child := range cmd.Commands() {
		completeNames(child, env)
	}
}

// complete answers a shell. It completes nothing where the database cannot be read: there is nobody to tell.
func complete(env environment, list names) cobra.CompletionFunc {
	return func(cmd *cobra.Command, args []string, begin string) ([]cobra.Completion, cobra.ShellCompDirective) {
		const nothingElse = cobra.ShellCompDirectiveNoFileComp
		path, err := cmd.Flags().GetString("config")
		if err != nil || len(args) > 0 {
			return nil, nothingElse
		}
		ctx, cancel := context.WithTimeout(context.WithoutCancel(cmd.Context()), completeWithin)
		defer cancel()
		var found []cobra.Completion
		err = withStoreAndConfig(ctx, path, env, store.LookOnly, func(s *store.Store, c config.Config) error {
			found, err = list(ctx, s, c, begin)
			return err
		})
		if err != nil {
			return nil, nothingElse
		}
		slices.Sort(found)
		return slices.Compact(found), nothingElse
	}
}

func termNames(ctx context.Context, s *store.Store, c config.Config, _ string) ([]string, error) {
	found, _, err := s.Names(ctx)
	for _, term := range c.Terms {
		found = append(found, term.Name)
	}
	return found, err
}

func skuNames(ctx context.Context, s *store.Store, c config.Config, _ string) ([]string, error) {
	_, found, err := s.Names(ctx)
	for _, term := range c.Terms {
		found = append(found, term.SKUs...)
	}
	return found, err
}

func subscriptionIDs(ctx context.Context, s *store.Store, _ config.Config, begin string) ([]string, error) {
	subscriptions, err := s.Find(ctx, store.Filter{IDPrefix: begin}, mostCompleted)
	found := make([]string, 0, len(subscriptions))
	for _, sub := range subscriptions {
		found = append(found, cobra.CompletionWithDesc(sub.ID, cmp.Or(sub.Term, sub.SKU)+", "+stateText(sub.State)))
	}
	return found, err
}

func eventIDs(ctx context.Context, s *store.Store, _ config.Config, begin string) ([]string, error) {
	events, err := s.Events(ctx, store.EventFilter{IDPrefix: begin}, mostCompleted)
	found := make([]string, 0, len(events))
	for _, e := range events {
		found = append(found, cobra.CompletionWithDesc(e.ID, e.Type+", "+string(e.Status)))
	}
	return found, err
}

func eventTypes(context.Context, *store.Store, config.Config, string) ([]string, error) {
	return ordergroove.EventTypes(), nil
}
