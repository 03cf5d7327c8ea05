package main

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// Mistakes in the command line: each is refused with exit code 2, and with what was probably meant.

// maxTypos is how many letters apart a word may be from what was meant.
const maxTypos = 2

// didYouMean returns "; did you mean …?", or "" where nothing is alike.
func didYouMean(word string, known []string) string {
	// Cobra compares with the names of subcommands, so the known words become some, and blanks end a name.
	joined := func(s string) string { return strings.ReplaceAll(s, " ", "_") }
	words := &cobra.Command{SuggestionsMinimumDistance: maxTypos}
	for _, name := range known {
		words.AddCommand(&cobra.Command{Use: joined(name), Run: func(*cobra.Command, []string) {}})
	}
	near := words.SuggestionsFor(joined(word))
	alike := slices.DeleteFunc(slices.Clone(known), func(name string) bool { return !slices.Contains(near, joined(name)) })
	if len(alike) == 0 || word == "" {
		return ""
	}
	return "; did you mean " + strings.Join(alike, " or ") + "?"
}

// stateFlag adds --state, with the states that there are.
func stateFlag(cmd *cobra.Command, state *string, states []string) {
	last := len(states) - 1
	cmd.Flags().StringVar(state, "state", "",
		"only this state: "+strings.Join(states[:last], ", ")+" or "+states[last])
	_ = cmd.RegisterFlagCompletionFunc("state", cobra.FixedCompletions(states, cobra.ShellCompDirectiveNoFileComp))
}

// checkState refuses a state that does not exist: an empty list would read as if there were nothing to worry about.
func checkState(state string, states []string) error {
	// safeguard: known-state
	if state == "" || slices.Contains(states, state) {
		return nil
	}
	return exit{exitUsage, fmt.Sprintf("termed: unknown --state %q%s; the states are %s",
		state, didYouMean(state, states), strings.Join(states, ", "))}
}

// checkName refuses the name of something that does not exist.
func checkName(noun, name string, known []string) error {
	if name == "" || slices.Contains(known, name) {
		return nil
	}
	return exit{exitUsage, fmt.Sprintf("termed: unknown %s %q%s; `termed check` lists the terms and their SKUs",
		noun, name, didYouMean(name, known))}
}

// refuseUnknown makes every group of commands refuse a subcommand that it does not have, and every command an unknown
// flag.
func refuseUnknown(cmd *cobra.Command) {
	cmd.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		if unknown, ok := errors.AsType[*pflag.NotExistError](err); ok {
			return fmt.Errorf("%w%s", err, didYouMean("--"+unknown.GetSpecifiedName(), flagNames(cmd)))
		}
		return err
	})
	groups := []*cobra.Command{cmd}
	for len(groups) > 0 {
		group := groups[0]
		groups = append(groups[1:], group.Commands()...)
		if !group.HasSubCommands() {
			continue
		}
		// safeguard: unknown-command
		group.Args = knownSubcommand
		group.RunE = func(cmd *cobra.Command, _ []string) error { return cmd.Help() }
	}
}

func knownSubcommand(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	var names []string
	for _, c := range cmd.Commands() {
		names = append(names, c.Name())
	}
	return fmt.Errorf("unknown command %q for %q%s", args[0], cmd.CommandPath(), didYouMean(args[0], names))
}

func flagNames(cmd *cobra.Command) []string {
	var names []string
	cmd.Flags().VisitAll(func(f *pflag.Flag) { names = append(names, "--"+f.Name) })
	cmd.InheritedFlags().VisitAll(func(f *pflag.Flag) { names = append(names, "--"+f.Name) })
	return slices.Compact(slices.Sorted(slices.Values(names)))
}
