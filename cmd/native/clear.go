//go:build !js

package main

import (
	"bufio"
	"errors"
	"fmt"
	"net/url"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/mqttdb/mqttdb"
)

func newClear(o *options) *cobra.Command {
	var queue, topic, olderThan string
	yes := false
	cmd := &cobra.Command{
		Use: "clear CONNECTION", Short: "Forget pending messages, dead letters, or what was sent",
		Long: `Forget messages that are pending on a connection of a running gateway, or with
--queue those of another queue: all of them, or those that match. They are gone
for good.`,
		Args:              wantArgs(1, 1, "CONNECTION"),
		ValidArgsFunction: o.completeConnection,
		RunE: func(cmd *cobra.Command, args []string) error {
			g, err := o.gateway()
			if err != nil {
				return err
			}
			name := args[0]
			if !yes {
				if err := confirm(cmd, g, name, queue, topic != "" || olderThan != ""); err != nil {
					return err
				}
			}
			query := url.Values{}
			for key, value := range map[string]string{"queue": queue, "topic": topic, "older_than": olderThan} {
				if value != "" {
					query.Set(key, value)
				}
			}
			n, err := g.clear(cmd.Context(), name, query)
			if err != nil {
				return err
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "cleared %d messages of %s\n", n, name)
			return err
		},
	}
	cmd.Flags().StringVar(&queue, "queue", "outgoing", "what to clear: outgoing, dead for its dead letters, or sent for what is kept of it; incoming, or incoming_dead for its dead letters")
	cmd.Flags().StringVar(&topic, "topic", "", "only messages whose topic (as the broker sees it; in incoming as local clients do) matches this filter")
	cmd.Flags().StringVar(&olderThan, "older-than", "", "only messages stored longer ago than this, as in 24h")
	cmd.Flags().BoolVar(&yes, "yes", false, "do not ask")
	return cmd
}

// confirm asks before messages are forgotten.
func confirm(cmd *cobra.Command, g gateway, name, queue string, some bool) error {
	statuses, err := g.statuses(cmd.Context())
	if err != nil {
		return err
	}
	count, kind, found := uint64(0), "pending messages", false
	for _, s := range statuses {
		if s.Name == name {
			of := s.Outgoing
			if queue == string(mqttdb.Incoming) || queue == string(mqttdb.IncomingDead) {
				of = s.Incoming
			}
			count, found = of.Pending, true
			if s.Orphan { // it is cleared whole
				count = s.Outgoing.Pending + s.Outgoing.DeadPending + s.Incoming.Pending + s.Incoming.DeadPending
				break
			}
			switch {
			case holdsDeadLetters(queue):
				count, kind = of.DeadPending, "dead letters"
			case queue == string(mqttdb.SentMessages):
				count, kind = of.Kept, "messages that were sent"
			}
		}
	}
	if !clearable(queue) {
		return fmt.Errorf("there is no queue %q to clear: say outgoing, dead, sent, incoming or incoming_dead", queue)
	}
	if !found {
		return fmt.Errorf("no such connection: %q; mqttdb status lists them", name)
	}
	if !term.IsTerminal(int(os.Stdin.Fd())) {
		return errors.New("this forgets messages for good: say --yes to do it without being asked")
	}
	what := fmt.Sprintf("all %d %s", count, kind)
	if some {
		what = fmt.Sprintf("those of the %d %s that match", count, kind)
	}
	fmt.Fprintf(cmd.OutOrStdout(), "Forget %s of %s for good? [y/N] ", what, name)
	line, _ := bufio.NewReader(cmd.InOrStdin()).ReadString('\n')
	if answer := strings.ToLower(strings.TrimSpace(line)); answer != "y" && answer != "yes" {
		return errors.New("nothing was cleared")
	}
	return nil
}

// clearable tells whether a queue of that name can be forgotten.
func clearable(queue string) bool {
	return slices.Contains([]mqttdb.QueueName{mqttdb.Outgoing, mqttdb.DeadLetters, mqttdb.SentMessages, mqttdb.Incoming, mqttdb.IncomingDead}, mqttdb.QueueName(queue))
}
