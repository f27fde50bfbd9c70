//go:build !js

package main

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/mqttdb/mqttdb/types"
)

func newCompact(o *options) *cobra.Command {
	var queue string
	var timeout time.Duration
	cmd := &cobra.Command{
		Use: "compact [CONNECTION]", Short: "Give back the disk space of what was sent",
		Long: `Give back the disk space of what has left the queues of a running gateway: those
of one connection (or of _local, what is stored for local clients), or all. This
happens by itself every compaction_interval; asked for, it happens at once, and
the command says what it came to. It goes on when the command does not wait for
its end.`,
		Args:              wantArgs(0, 1, "at most one CONNECTION"),
		ValidArgsFunction: o.completeConnection,
		RunE: func(cmd *cobra.Command, args []string) error {
			switch {
			case queue != "" && len(args) == 0:
				return usageError{fmt.Errorf("--queue needs a CONNECTION")}
			case timeout <= 0:
				return usageError{fmt.Errorf("--timeout is more than 0")}
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
				if !s.Orphan {
					names = append(names, s.Name)
				}
			}
			if len(args) > 0 {
				if !slices.Contains(names, args[0]) {
					return fmt.Errorf("no such connection: %q; mqttdb status lists them", args[0])
				}
				names = args
			}
			for _, name := range names {
				did, err := g.compact(cmd.Context(), name, queue, timeout)
				if err != nil {
					return err
				}
				if _, err := fmt.Fprintf(cmd.OutOrStdout(), "%s: %s were given back, %s are left\n", name, inMiB(did.Reclaimed), inMiB(did.Disk)); err != nil {
					return err
				}
			}
			return nil
		},
	}
	cmd.Flags().StringVar(&queue, "queue", "", "only this one: outgoing or incoming")
	cmd.Flags().DurationVar(&timeout, "timeout", 10*time.Minute, "how long to wait for each connection")
	return cmd
}

// compact has queues of a connection compacted, and says what that came to.
func (g gateway) compact(ctx context.Context, connection, queue string, within time.Duration) (types.Compaction, error) {
	var out types.Compaction
	ctx, cancel := context.WithTimeout(ctx, within+callTime)
	defer cancel()
	query := url.Values{"timeout": {within.String()}}
	if queue != "" {
		query.Set("queue", queue)
	}
	return out, g.send(ctx, http.MethodPost, "/api/connections/"+url.PathEscape(connection)+"/compact", query, nil, &out)
}

// inMiB is a number of bytes as people read it.
func inMiB(n uint64) string { return fmt.Sprintf("%.1f MiB", float64(n)/(1<<20)) }
