//go:build !js

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/mqttdb/mqttdb/types"
)

func newStatus(o *options) *cobra.Command {
	asJSON := false
	cmd := &cobra.Command{
		Use: "status", Short: "Show the connections of a running gateway",
		Long: `Show the connections of a running gateway, one a line: state, messages that are
pending and their bytes, those in flight, those that were sent, how long the
oldest waits, and the broker. Below are lines on what there is to know; a "!"
begins those that want somebody to do something: a queue that is full, a disk in
trouble, a broker that cannot be reached, dead letters.

What was dropped, expired, cleared or quarantined is counted since the queue was
made, what was refused since the start of the gateway. --json has every counter.`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			g, err := o.gateway()
			if err != nil {
				return err
			}
			statuses, err := g.statuses(cmd.Context())
			if err != nil {
				return err
			}
			if asJSON {
				enc := json.NewEncoder(cmd.OutOrStdout())
				enc.SetIndent("", "  ")
				return enc.Encode(statuses)
			}
			if err := printStatuses(cmd.OutOrStdout(), statuses, columnsOf(cmd.OutOrStdout())); err != nil {
				return err
			}
			return printReload(cmd.Context(), cmd.OutOrStdout(), g)
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print what GET /api/connections answers")
	return cmd
}

// printStatuses prints a table with a line for each connection, and below it what an
// operator should know of them, in lines of their own: a "!" begins those that want
// somebody to do something. Brokers are cut so that the table is no wider than that
// many columns; 0: they are not.
func printStatuses(w io.Writer, statuses []types.Status, columns int) error {
	if len(statuses) == 0 {
		_, err := fmt.Fprintln(w, "no connections are configured")
		return err
	}
	var table strings.Builder
	tw := tabwriter.NewWriter(&table, 0, 0, 2, ' ', 0)
	fmt.Fprintln(tw, "CONNECTION\tSTATE\tPENDING\tBYTES\tIN FLIGHT\tSENT\tOLDEST\tBROKER")
	for _, s := range statuses {
		q := s.Outgoing
		pending, size, sent, oldest := fmt.Sprint(q.Pending), inUnits(q.Bytes), fmt.Sprint(q.Sent), "-"
		if q.Unread {
			pending, size, sent, oldest = "?", "?", "?", "?"
		}
		if q.Oldest != nil {
			oldest = briefly(time.Since(*q.Oldest))
		}
		fmt.Fprintf(tw, "%s\t%s\t%s\t%s\t%d\t%s\t%s\t%s\n", s.Name, stateOf(s), pending, size, q.InFlight, sent, oldest, s.Broker)
	}
	if err := tw.Flush(); err != nil {
		return err
	}
	for line := range strings.Lines(table.String()) {
		if _, err := fmt.Fprintln(w, cut(strings.TrimRight(line, " \n"), columns)); err != nil {
			return err
		}
	}
	for _, s := range statuses {
		for _, r := range remarksOn(s) {
			if _, err := fmt.Fprintf(w, "%s %s: %s\n", r.sign(), s.Name, r.text); err != nil {
				return err
			}
		}
	}
	return nil
}

// stateOf is the state of a connection, with what keeps it from taking messages.
func stateOf(s types.Status) string {
	state := string(s.State)
	if s.Orphan {
		state = "orphan"
	}
	switch {
	case s.Outgoing.Trouble != "" || s.Incoming.Trouble != "":
		state += ", trouble"
	case s.Outgoing.Full != "" || s.Incoming.Full != "":
		state += ", full"
	}
	return state
}

// columnsOf is how wide the terminal is that w is; 0 if it is none.
func columnsOf(w io.Writer) int {
	f, ok := w.(*os.File)
	if !ok {
		return 0
	}
	width, _, err := term.GetSize(int(f.Fd()))
	if err != nil {
		return 0
	}
	return width
}

// cut shortens a line to so many columns; 0: not at all.
func cut(line string, columns int) string {
	if r := []rune(line); columns > 0 && len(r) > columns {
		return string(r[:columns-1]) + "…"
	}
	return line
}

// briefly says how long something is in two units at most: 2d4h, 3h12m, 5m7s, 12s.
func briefly(d time.Duration) string {
	const day = 24 * time.Hour
	switch d = max(d, 0); {
	case d >= day:
		return fmt.Sprintf("%dd%dh", d/day, d%day/time.Hour)
	case d >= time.Hour:
		return fmt.Sprintf("%dh%dm", d/time.Hour, d%time.Hour/time.Minute)
	}
	return d.Truncate(time.Second).String()
}

// inUnits says how many bytes these are: 512 B, 1.2 KiB, 3.0 GiB.
func inUnits(n uint64) string {
	if n < 1<<10 {
		return fmt.Sprintf("%d B", n)
	}
	unit := 0
	size := float64(n) / (1 << 10)
	for ; size >= 1000 && unit < 3; unit++ {
		size /= 1 << 10
	}
	return fmt.Sprintf("%.1f %ciB", size, "KMGT"[unit])
}

// printReload says that the gateway does not run with its configuration as it is
// now.
func printReload(ctx context.Context, w io.Writer, g gateway) error {
	last, err := g.lastReload(ctx)
	if err != nil || last == nil || last.Error == "" {
		return err
	}
	_, err = fmt.Fprintf(w, "the configuration was read again %s ago and is not used: %s\n", time.Since(last.At).Round(time.Second), last.Error)
	return err
}
