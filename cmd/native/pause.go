//go:build !js

package main

import (
	"context"
	"fmt"
	"slices"

	"github.com/mqttdb/mqttdb/runtime"
	"github.com/spf13/cobra"
)

func newPause(o *options) *cobra.Command {
	return steering(o, "pause", "Have a connection send nothing until it is resumed", `Have a connection of a running gateway send nothing: what is in flight may finish,
then it says goodbye to the broker. Messages are taken and stored as before. It
goes on after mqttdb resume, and when the gateway is started again.`, "paused")
}

func newResume(o *options) *cobra.Command {
	return steering(o, "resume", "Have a paused connection go on", `Have a connection of a running gateway that was paused go on: it connects to its
broker and sends what waits.`, "resumed")
}

// steering is a command that tells a connection what to do; done is the word for
// it afterwards.
func steering(o *options, verb, short, long, done string) *cobra.Command {
	return &cobra.Command{
		Use: verb + " CONNECTION", Short: short, Long: long,
		Args:              wantArgs(1, 1, "CONNECTION"),
		ValidArgsFunction: o.completeConnection,
		RunE: func(cmd *cobra.Command, args []string) error {
			g, err := o.gateway()
			if err != nil {
				return err
			}
			names, err := g.names(cmd.Context())
			if err != nil {
				return err
			}
			if !slices.Contains(names, args[0]) {
				return fmt.Errorf("no such connection: %q; mqttdb status lists them", args[0])
			}
			if err := g.steer(cmd.Context(), args[0], verb); err != nil {
				return err
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s is %s\n", args[0], done)
			return err
		},
	}
}

// completeConnection offers a shell the connections of the running gateway.
func (o *options) completeConnection(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	var names []string
	if g, err := o.gateway(); err == nil && len(args) == 0 {
		names, _ = g.names(cmd.Context()) // none, if it does not answer
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}

// names are those of the connections that are configured.
func (g gateway) names(ctx context.Context) ([]string, error) {
	statuses, err := g.statuses(ctx)
	var names []string
	for _, s := range statuses {
		if !s.Orphan && s.Name != runtime.LocalName {
			names = append(names, s.Name)
		}
	}
	return names, err
}
