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
	"github.com/mqttdb/mqttdb/archive"
	"github.com/mqttdb/mqttdb/cmd/native/stored"
	"github.com/mqttdb/mqttdb/httpapi"
	"github.com/mqttdb/mqttdb/types"
)

func newMessages(o *options) *cobra.Command {
	var list listing
	var requeue, remove []string
	cmd := &cobra.Command{
		Use: "messages CONNECTION | DIR", Short: "Show messages that are stored, send dead letters again",
		Long: `Show messages that are stored for a connection, or for local clients (_local): those that
wait to be sent, or with --queue dead those that were set aside because the
broker would not take them; with --queue sent those that were sent and are kept,
as keep_sent says (mqttdb replay sends them again); with --queue incoming those of the broker that not
all have got for whom they are, and with --queue incoming_dead those that were
set aside. With --requeue dead letters are sent again, behind all others; with
--remove messages are forgotten for good.

A gateway that runs is asked; if none does the files are read, of which not one
byte is changed. DIR is the directory of a queue or of a connection.`,
		Example: `  mqttdb messages cloud --queue dead
  mqttdb messages cloud --requeue 17,18
  mqttdb messages cloud --requeue all
  mqttdb messages cloud --queue dead --remove 17
  mqttdb messages _local --queue retained`,
		Args:              wantArgs(1, 1, "CONNECTION or DIR"),
		ValidArgsFunction: o.completeConnection,
		RunE: func(cmd *cobra.Command, args []string) error {
			list.connection = args[0]
			if len(requeue)+len(remove) == 0 {
				return list.print(cmd, o)
			}
			g, err := o.gateway()
			switch {
			case err != nil:
				return err
			case len(requeue) > 0 && len(remove) > 0:
				return usageError{errors.New("--requeue and --remove exclude each other")}
			case len(requeue) > 0:
				return list.requeue(cmd.Context(), cmd.OutOrStdout(), g, requeue)
			}
			return list.remove(cmd.Context(), cmd.OutOrStdout(), g, remove)
		},
	}
	cmd.Flags().StringVar(&list.queue, "queue", "outgoing", "which messages: outgoing, dead, sent, incoming, incoming_dead or, of _local, retained")
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

// read reads the next messages from the gateway, or from files.
func (l *listing) read(cmd *cobra.Command, o *options) ([]httpapi.Message, error) {
	if l.limit < 1 || l.limit > 1000 {
		return nil, usageError{fmt.Errorf("--limit %d: 1 to 1000", l.limit)}
	}
	p, err := o.reach(cmd.Context(), l.connection)
	if err != nil {
		return nil, err
	}
	if p.dirs == nil {
		return l.fetch(cmd.Context(), p.gateway)
	}
	parts, err := p.parts(mqttdb.QueueName(l.queue))
	if err != nil {
		return nil, err
	}
	if len(parts) > 1 {
		return nil, fmt.Errorf("there are %d connections in %s: name one", len(parts), l.connection)
	}
	list := []httpapi.Message{}
	x := types.Extract{Queue: parts[0].queue, After: types.Seq(l.after)}
	err = stored.Read(cmd.Context(), parts[0].dir, x, func(bad error) { fmt.Fprintln(cmd.ErrOrStderr(), "damaged or missing:", bad) },
		func(m *archive.Message) error {
			list = append(list, httpapi.MessageOf(&m.Stored))
			if len(list) == l.limit {
				return errEnough
			}
			return nil
		})
	if errors.Is(err, errEnough) {
		err = nil
	}
	return list, err
}

var errEnough = errors.New("these are enough")

func (l *listing) print(cmd *cobra.Command, o *options) error {
	messages, err := l.read(cmd, o)
	if err != nil {
		return err
	}
	w := cmd.OutOrStdout()
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
