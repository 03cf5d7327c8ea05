package main

import (
	"errors"
	"fmt"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/spf13/cobra"

	"github.com/termed/termed/ledger"
	"github.com/termed/termed/store"
)

var notificationStates = []string{
	string(ledger.MessagePending),
	string(ledger.MessageDelivered),
	string(ledger.MessageDead),
}

func notificationsCommand(env environment) *cobra.Command {
	var path string
	cmd := &cobra.Command{Use: "notifications", Short: "List the notifications to other systems, and retry dead ones"}
	groupConfigFlag(cmd, &path)
	cmd.AddCommand(notificationsListCommand(env, &path), retryCommand(env, &path, retryable{
		noun:  "notification",
		list:  "termed notifications list",
		which: "dead notifications, or any notification by its ID",
		retry: (*store.Store).RetryMessages,
	}))
	return cmd
}

func notificationsListCommand(env environment, path *string) *cobra.Command {
	var state string
	var limit int
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List notifications, newest first",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := errors.Join(checkState(state, notificationStates), checkLimit(limit)); err != nil {
				return err
			}
			return withStore(cmd.Context(), *path, env, store.Manual, func(s *store.Store) error {
				notifications, err := s.Messages(cmd.Context(), ledger.MessageStatus(state), oneMore(limit))
				if err != nil {
					return err
				}
				notifications, note := cut(notifications, limit)
				defer fmt.Fprint(env.stderr, note)
				if asJSON {
					return printJSON(env.stdout, notificationsJSON(notifications))
				}
				printNotifications(env, notifications)
				return nil
			})
		},
	}
	stateFlag(cmd, &state, notificationStates)
	limitFlag(cmd, &limit)
	jsonFlag(cmd, &asJSON)
	return cmd
}

func printNotifications(env environment, notifications []store.Message) {
	t := newTable("notification", "endpoint", "type", "subscription", "created", "state", "attempts", "next attempt",
		"last error")
	for _, n := range notifications {
		t.AppendRow(table.Row{
			n.ID,
			n.Endpoint,
			n.Type,
			n.Subscription,
			stamp(n.Created),
			n.Status,
			n.Attempts,
			stamp(n.Due.Int64),
			n.LastError,
		})
	}
	printList(env, t, "notifications")
}
