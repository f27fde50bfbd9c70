//go:build !js

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"text/tabwriter"
	"time"

	"github.com/mqttdb/mqttdb/types"
	"github.com/spf13/cobra"
)

func newStatus(o *options) *cobra.Command {
	asJSON := false
	cmd := &cobra.Command{
		Use: "status", Short: "Show the connections of a running gateway", Args: noArgs,
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
			if err := printStatuses(cmd.OutOrStdout(), statuses); err != nil {
				return err
			}
			return printReload(cmd.Context(), cmd.OutOrStdout(), g)
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print what GET /api/connections answers")
	return cmd
}

func printStatuses(w io.Writer, statuses []types.Status) error {
	if len(statuses) == 0 {
		_, err := fmt.Fprintln(w, "no connections are configured")
		return err
	}
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(tw, "CONNECTION\tSTATE\tPENDING\tBYTES\tIN FLIGHT\tSENT\tOLDEST\tBROKER")
	for _, s := range statuses {
		oldest := "-"
		if s.Outgoing.Oldest != nil {
			oldest = time.Since(*s.Outgoing.Oldest).Round(time.Second).String()
		}
		state := string(s.State)
		if s.Orphan {
			state = "orphan"
		}
		if s.Outgoing.Unread {
			fmt.Fprintf(tw, "%s\t%s\t?\t?\t0\t?\t?\t%s\n", s.Name, state, s.Broker)
			continue
		}
		fmt.Fprintf(tw, "%s\t%s\t%d\t%d\t%d\t%d\t%s\t%s\n", s.Name, state, s.Outgoing.Pending, s.Outgoing.Bytes, s.Outgoing.InFlight, s.Outgoing.Sent, oldest, s.Broker)
	}
	if err := tw.Flush(); err != nil {
		return err
	}
	for _, s := range statuses {
		for _, line := range remarks(s) {
			if _, err := fmt.Fprintf(w, "%s: %s\n", s.Name, line); err != nil {
				return err
			}
		}
	}
	return nil
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

// remarks are the things about a connection that an operator should know.
func remarks(s types.Status) []string {
	var out []string
	if s.LastError != "" { // online, too: linked to another broker, a subscription refused
		line := s.LastError
		if s.Hint != "" {
			line += " (" + s.Hint + ")"
		}
		if s.NextAttempt != nil {
			line += fmt.Sprintf("; next attempt in %s", max(0, time.Until(*s.NextAttempt)).Round(time.Second))
		}
		out = append(out, line)
	}
	if s.Outgoing.Trouble != "" {
		out = append(out, "cannot store: "+s.Outgoing.Trouble)
	}
	if n := s.Outgoing.DeadPending; n > 0 {
		out = append(out, fmt.Sprintf("%d dead letters: mqttdb messages %s --queue dead shows why", n, s.Name))
	}
	if n := s.Outgoing.Kept; n > 0 {
		out = append(out, fmt.Sprintf("%d messages that were sent are kept: mqttdb replay %s sends them again", n, s.Name))
	}
	if n := s.Outgoing.Quarantined; n > 0 {
		out = append(out, fmt.Sprintf("%d messages were found missing or unreadable", n))
	}
	out = append(out, incomingRemarks(s)...)
	if s.Clients != nil {
		for _, reason := range slices.Sorted(maps.Keys(s.Clients.Refused)) {
			if n := s.Clients.Refused[reason]; n > 0 {
				out = append(out, fmt.Sprintf("%d messages of local clients were refused since the start: %s", n, reason))
			}
		}
		if n := s.Clients.TurnedAway; n > 0 {
			out = append(out, fmt.Sprintf("%d connections of local clients were not let in since the start: the log says why, for each host once a minute", n))
		}
	}
	if s.Outgoing.DuplicatesPossible {
		out = append(out, "after damage to the store some messages may be delivered twice")
	}
	return out
}

// incomingRemarks are those about what came from the broker.
func incomingRemarks(s types.Status) []string {
	var out []string
	if s.Incoming.Trouble != "" {
		out = append(out, "cannot store what the broker sends, which therefore has to wait: "+s.Incoming.Trouble)
	}
	if n := s.Incoming.Pending; n > 0 {
		out = append(out, fmt.Sprintf("%d messages of the broker wait for those for whom they are: mqttdb messages %s --queue incoming", n, s.Name))
	}
	if n := s.Incoming.DeadPending; n > 0 {
		out = append(out, fmt.Sprintf("%d dead letters of the broker's: mqttdb messages %s --queue incoming_dead shows why", n, s.Name))
	}
	if n := s.Incoming.Quarantined; n > 0 {
		out = append(out, fmt.Sprintf("%d messages of the broker were found missing or unreadable", n))
	}
	if n := s.Incoming.Refused; n > 0 {
		out = append(out, fmt.Sprintf("%d messages of the broker were too large since the start, and were passed over", n))
	}
	return out
}
