//go:build !js

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"text/tabwriter"
	"time"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"github.com/mqttdb/mqttdb"
	"github.com/mqttdb/mqttdb/httpapi"
)

func newMessages(o *options) *cobra.Command {
	var list listing
	var requeue, remove []string
	cmd := &cobra.Command{
		Use: "messages CONNECTION", Short: "Show messages that are stored, send dead letters again",
		Long: `Show messages that a running gateway has stored for a connection: those that
wait to be sent, or with --queue dead those that were set aside because the
broker would not take them; with --queue sent those that were sent and are kept,
as keep_sent says (mqttdb replay sends them again); with --queue incoming those of the broker that not
all have got for whom they are, and with --queue incoming_dead those that were
set aside. With --requeue dead letters are sent again, behind all others; with
--remove messages are forgotten for good.`,
		Example: `  mqttdb messages cloud --queue dead
  mqttdb messages cloud --requeue 17,18
  mqttdb messages cloud --requeue all
  mqttdb messages cloud --queue dead --remove 17`,
		Args:              wantArgs(1, 1, "CONNECTION"),
		ValidArgsFunction: o.completeConnection,
		RunE: func(cmd *cobra.Command, args []string) error {
			g, err := o.gateway()
			if err != nil {
				return err
			}
			list.connection = args[0]
			switch {
			case len(requeue) > 0 && len(remove) > 0:
				return usageError{errors.New("--requeue and --remove exclude each other")}
			case len(requeue) > 0:
				return list.requeue(cmd.Context(), cmd.OutOrStdout(), g, requeue)
			case len(remove) > 0:
				return list.remove(cmd.Context(), cmd.OutOrStdout(), g, remove)
			}
			return list.print(cmd.Context(), cmd.OutOrStdout(), g)
		},
	}
	cmd.Flags().StringVar(&list.queue, "queue", "outgoing", "which messages: outgoing, dead, sent, incoming or incoming_dead")
	cmd.Flags().Uint64Var(&list.after, "after", 0, "only messages with a higher number")
	cmd.Flags().IntVar(&list.limit, "limit", 100, "so many at most, 1 to 1000")
	cmd.Flags().BoolVar(&list.asJSON, "json", false, "print what GET /api/connections/CONNECTION/messages answers")
	cmd.Flags().StringSliceVar(&requeue, "requeue", nil, "send the dead letters with these numbers again, or all")
	cmd.Flags().StringSliceVar(&remove, "remove", nil, "forget the messages with these numbers")
	return cmd
}

// listing says which messages are meant.
type listing struct {
	connection, queue string
	after             uint64
	limit             int
	asJSON            bool
}

func (l *listing) path() string {
	return "/api/connections/" + url.PathEscape(l.connection) + "/messages"
}

// fetch asks for the next messages.
func (l *listing) fetch(ctx context.Context, g gateway) ([]httpapi.Message, error) {
	query := url.Values{"queue": {l.queue}, "after": {strconv.FormatUint(l.after, 10)}, "limit": {strconv.Itoa(l.limit)}}
	var out []httpapi.Message
	return out, g.call(ctx, http.MethodGet, l.path(), query, &out)
}

func (l *listing) print(ctx context.Context, w io.Writer, g gateway) error {
	messages, err := l.fetch(ctx, g)
	if err != nil {
		return err
	}
	if l.asJSON {
		enc := json.NewEncoder(w)
		enc.SetIndent("", "  ")
		return enc.Encode(messages)
	}
	if len(messages) == 0 {
		_, err := fmt.Fprintln(w, "no messages")
		return err
	}
	dead := holdsDeadLetters(l.queue)
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	header := "SEQ\tAGE\tQOS\tBYTES\tTOPIC\tPAYLOAD"
	if dead {
		header += "\tCAUSE"
	}
	fmt.Fprintln(tw, header)
	for _, m := range messages {
		line := fmt.Sprintf("%d\t%v\t%d\t%d\t%s\t%s", m.Seq, time.Since(m.Accepted).Round(time.Second), m.QoS, len(m.Payload), printable(m.Topic), preview(m.Payload))
		if dead {
			line += "\t" + printable(m.Cause)
		}
		fmt.Fprintln(tw, line)
	}
	if err := tw.Flush(); err != nil {
		return err
	}
	if len(messages) == l.limit {
		_, err = fmt.Fprintf(w, "there may be more: --after %d\n", messages[len(messages)-1].Seq)
	}
	return err
}

// preview is the beginning of a payload, if that is text.
func preview(payload []byte) string {
	const most = 40
	text, more := payload, ""
	if len(text) > most {
		text, more = text[:most], "..."
		for len(text) > 0 && !utf8.RuneStart(payload[len(text)]) { // not within a character
			text = text[:len(text)-1]
		}
	}
	if !utf8.Valid(text) {
		return "(binary)"
	}
	return printable(string(text)) + more
}

// printable is text without what a terminal would obey.
func printable(text string) string {
	quoted := strconv.Quote(text)
	return quoted[1 : len(quoted)-1]
}

// holdsDeadLetters says whether the queue of that name is one of dead letters.
func holdsDeadLetters(queue string) bool {
	return queue == string(mqttdb.DeadLetters) || queue == string(mqttdb.IncomingDead)
}

// requeue sends dead letters again: those of outgoing, unless the others are meant.
func (l *listing) requeue(ctx context.Context, w io.Writer, g gateway, numbers []string) error {
	if !holdsDeadLetters(l.queue) {
		l.queue = string(mqttdb.DeadLetters)
	}
	each := func(seq uint64) error {
		var out struct{ Seq uint64 }
		if err := g.call(ctx, http.MethodPost, fmt.Sprintf("%s/%d/requeue", l.path(), seq), url.Values{"queue": {l.queue}}, &out); err != nil {
			return err
		}
		_, err := fmt.Fprintf(w, "dead letter %d is message %d now\n", seq, out.Seq)
		return err
	}
	if len(numbers) != 1 || numbers[0] != "all" {
		return forEach(numbers, each)
	}
	l.limit = 1000
	for {
		letters, err := l.fetch(ctx, g)
		if err != nil || len(letters) == 0 {
			return err
		}
		for _, m := range letters {
			if err := each(uint64(m.Seq)); err != nil {
				return err
			}
			l.after = uint64(m.Seq) // those that come back are not tried again
		}
	}
}

// remove forgets messages.
func (l *listing) remove(ctx context.Context, w io.Writer, g gateway, numbers []string) error {
	return forEach(numbers, func(seq uint64) error {
		var out struct{}
		if err := g.call(ctx, http.MethodDelete, fmt.Sprintf("%s/%d", l.path(), seq), url.Values{"queue": {l.queue}}, &out); err != nil {
			return err
		}
		_, err := fmt.Fprintf(w, "message %d is forgotten\n", seq)
		return err
	})
}

// forEach calls do for each number.
func forEach(numbers []string, do func(uint64) error) error {
	list := make([]uint64, len(numbers))
	for i, text := range numbers {
		n, err := strconv.ParseUint(text, 10, 63)
		if err != nil {
			return usageError{fmt.Errorf("%q is not the number of a message", text)}
		}
		list[i] = n
	}
	for _, n := range list {
		if err := do(n); err != nil {
			return err
		}
	}
	return nil
}
