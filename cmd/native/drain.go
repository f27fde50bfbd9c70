//go:build !js

package main

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/mqttdb/mqttdb/runtime"
	"github.com/mqttdb/mqttdb/types"
	"github.com/spf13/cobra"
)

func newDrain(o *options) *cobra.Command {
	var timeout time.Duration
	cmd := &cobra.Command{
		Use: "drain [CONNECTION]", Short: "Wait until everything stored has been sent",
		Long: `Wait until a running gateway has sent all that waits on a connection, or on all
of them, also what other brokers have sent and is to be relayed to it. It fails if
messages are left when the time is over, and says how many. What waits for local
clients that are away, or for subscriptions of programs, is not waited for.

Messages that are published meanwhile are waited for, too: stop the publishers
first if it is to end.`,
		Args:              wantArgs(0, 1, "at most one CONNECTION"),
		ValidArgsFunction: o.completeConnection,
		RunE: func(cmd *cobra.Command, args []string) error {
			if timeout < 0 {
				return usageError{fmt.Errorf("--timeout is not negative")}
			}
			g, err := o.gateway()
			if err != nil {
				return err
			}
			statuses, err := g.statuses(cmd.Context())
			if err != nil {
				return err
			}
			var names []string
			for _, s := range statuses {
				if !s.Orphan && s.Name != runtime.LocalName && (len(args) == 0 || s.Name == args[0]) {
					names = append(names, s.Name)
				}
			}
			if len(args) > 0 && len(names) == 0 {
				return fmt.Errorf("no such connection: %q; mqttdb status lists them", args[0])
			}
			if err := drainAll(cmd.Context(), g, names, timeout); err != nil {
				return err
			}
			_, err = fmt.Fprintln(cmd.OutOrStdout(), "nothing is pending")
			return err
		},
	}
	cmd.Flags().DurationVar(&timeout, "timeout", 30*time.Second, "how long to wait")
	return cmd
}

// drainAll waits for all connections at the same time.
func drainAll(ctx context.Context, g gateway, names []string, timeout time.Duration) error {
	left, errs := make([]uint64, len(names)), make([]error, len(names))
	var wg sync.WaitGroup
	for i, name := range names {
		wg.Go(func() { left[i], errs[i] = g.drain(ctx, name, timeout) })
	}
	wg.Wait()
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	statuses, _ := g.statuses(ctx) // they only explain
	total, lines := uint64(0), []string(nil)
	for i, n := range left {
		if n > 0 {
			total += n
			lines = append(lines, fmt.Sprintf("%d of %s%s", n, names[i], why(statuses, names[i])))
		}
	}
	if total > 0 {
		return fmt.Errorf("after %v %d messages are left: %s", timeout, total, strings.Join(lines, "; "))
	}
	return nil
}

// why is what keeps a connection from sending, in brackets.
func why(statuses []types.Status, name string) string {
	for _, s := range statuses {
		if s.Name != name || s.State == types.Online {
			continue
		}
		text := string(s.State)
		if s.LastError != "" {
			text += ": " + s.LastError
		}
		return " (" + text + ")"
	}
	return ""
}
