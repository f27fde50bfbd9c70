//go:build !js

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/mqttdb/mqttdb/archive"
	"github.com/mqttdb/mqttdb/archive/nedb"
	"github.com/mqttdb/mqttdb/cmd/native/stored"
	"github.com/mqttdb/mqttdb/config"
	"github.com/mqttdb/mqttdb/runtime"
	"github.com/mqttdb/mqttdb/types"
)

func newImport(o *options) *cobra.Command {
	i := &importer{options: o}
	cmd := &cobra.Command{
		Use: "import FILE... | -", Short: "Store messages that were exported, or that the old nodes left",
		Long: `Store messages behind all others, to be sent: those that mqttdb export wrote, or
those in the NeDB files of the nodes that came before mqttdb (outgoing and
incoming, see docs/migration.md), in the order in which they lie there.

What is pending here already, or was imported before, is left out: so an import
that came to nothing half-way can be repeated. A gateway that runs is told,
and it waits for room where a limit is reached; if none runs they are put into
its files.`,
		Example: `  mqttdb import cloud.ndjson
  gunzip <all.ndjson.gz | mqttdb import -
  mqttdb import ~/.node-red/mqttdb/cloud/outgoing --to cloud`,
		Args: wantArgs(1, -1, "FILE, or - for standard input"),
		RunE: func(cmd *cobra.Command, args []string) error { return i.run(cmd, args) },
	}
	flags := cmd.Flags()
	flags.StringVar(&i.to, "to", "", "the connection that they are for (default: the one that each was exported from)")
	flags.StringVar(&i.queue, "queue", "", "outgoing, to be sent to the broker, or incoming (default: where each was)")
	flags.BoolVar(&i.again, "again", false, "also what was imported before")
	flags.BoolVar(&i.byID, "by-packet-id", false, "NeDB: in the order of the packet ids, which a file that was compacted has lost where they go round")
	flags.BoolVar(&i.asJSON, "json", false, "print what became of them as JSON")
	return cmd
}

// importer puts messages into a gateway, or into its files.
type importer struct {
	*options
	to, queue           string
	again, byID, asJSON bool

	config  config.Config
	gateway *gateway       // nil: none runs
	loader  *stored.Loader // then
	notes   []string       // about what was left out
	total   archive.Result
}

func (i *importer) run(cmd *cobra.Command, files []string) (err error) {
	if q := types.QueueName(i.queue); q != "" && q != types.Outgoing && q != types.Incoming {
		return usageError{fmt.Errorf("--queue %s: messages are imported into outgoing or incoming", i.queue)}
	}
	if i.config, _, err = i.load(); err != nil {
		return err
	}
	ctx := cmd.Context()
	if err := i.find(ctx, cmd.ErrOrStderr()); err != nil {
		return err
	}
	if i.loader != nil {
		defer func() { err = errors.Join(err, i.loader.Close(context.WithoutCancel(ctx))) }()
	}
	for _, name := range files {
		if err := i.file(cmd, name); err != nil {
			if n := i.total.Imported; n > 0 {
				err = fmt.Errorf("%w; %d messages are imported, run it again for the rest: these are left out then", err, n)
			}
			return err
		}
	}
	if err := i.report(cmd.OutOrStdout()); err != nil {
		return err
	}
	if i.total.Refused > 0 {
		return fmt.Errorf("%d could not be imported; the first one: %s", i.total.Refused, i.total.Why)
	}
	return nil
}

// find finds out whether a gateway runs.
func (i *importer) find(ctx context.Context, log io.Writer) error {
	g, err := gatewayOf(&i.config.HTTP)
	if err != nil {
		return err
	}
	_, err = g.statuses(ctx)
	var off *noGateway
	switch {
	case err == nil:
		i.gateway = &g
	case errors.As(err, &off):
		quiet := slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelWarn}))
		i.loader, err = stored.NewLoader(i.config.DataDir, quiet)
		return err
	default:
		return err
	}
	return nil
}

func (i *importer) file(cmd *cobra.Command, name string) error {
	f, err := openArchive(name, cmd.InOrStdin())
	if err != nil {
		return err
	}
	defer f.Close()
	bar := newProgress(cmd.ErrOrStderr())
	defer bar.end()
	if old := f.nedb; old != nil {
		if i.byID {
			old.SortByID()
		}
		if i.to == "" && len(i.config.Connections) != 1 {
			return usageError{fmt.Errorf("%s does not say which connection its messages are for: say --to CONNECTION", name)}
		}
		if old.Finished > 0 {
			i.notes = append(i.notes, fmt.Sprintf("%s: %d messages at QoS 2 are not in it any more: the broker has them, but for the end of their handshake", name, old.Finished))
		}
		if old.Other > 0 {
			i.notes = append(i.notes, fmt.Sprintf("%s: %d packets are left out that are no messages", name, old.Other))
		}
	}
	r, err := archive.Load(f, i.check(), func(list []archive.Message) (archive.Result, error) {
		r, err := i.store(cmd.Context(), list)
		if done, all := f.progress(); all > 0 {
			bar.bytes("import "+name, done, all)
		}
		return r, err
	})
	i.total = i.total.Plus(r)
	if err != nil {
		return fmt.Errorf("import %s: %w", name, err)
	}
	return nil
}

// check says whether a message can be stored, where no gateway does.
func (i *importer) check() func(*types.Message) error {
	if i.gateway != nil {
		return nil
	}
	return func(m *types.Message) error { return m.Check(int(i.config.MaxMessageSize)) }
}

// store stores messages that were at one place.
func (i *importer) store(ctx context.Context, list []archive.Message) (archive.Result, error) {
	connection, queue, err := i.target(&list[0])
	if err != nil {
		return archive.Result{}, err
	}
	if i.gateway != nil {
		return i.gateway.load(ctx, connection, queue, i.again, list)
	}
	if err := i.mayStore(connection, queue); err != nil {
		return archive.Result{}, err
	}
	n, err := i.loader.Import(ctx, connection, queue, archive.Stored(list), i.again)
	if err != nil {
		return archive.Result{Imported: uint64(n)}, err
	}
	return archive.Result{Imported: uint64(n), Known: uint64(len(list) - n)}, nil
}

// target is where a message is to go.
func (i *importer) target(m *archive.Message) (connection string, queue types.QueueName, err error) {
	if connection = i.to; connection == "" {
		connection = m.Connection
	}
	if connection == "" && len(i.config.Connections) == 1 {
		connection = i.config.Connections[0].Name
	}
	if queue = types.QueueName(i.queue); queue == "" {
		switch m.Queue {
		case types.Incoming, types.IncomingDead:
			queue = types.Incoming
		case types.Outgoing, types.DeadLetters, types.SentMessages, "":
			queue = types.Outgoing
		default:
			return "", "", fmt.Errorf("what is %s cannot be imported: publish it", m.Queue)
		}
	}
	switch connection {
	case "":
		return "", "", usageError{fmt.Errorf("message %d does not say which connection it is for: say --to CONNECTION", m.Seq)}
	case runtime.LocalName:
		return "", "", fmt.Errorf("message %d is of %s: nothing can be imported for local clients, say --to CONNECTION", m.Seq, connection)
	}
	return connection, queue, nil
}

// mayStore says whether the gateway would find what is put into the files of a
// queue.
func (i *importer) mayStore(connection string, queue types.QueueName) error {
	for _, c := range i.config.Connections {
		if c.Name != connection {
			continue
		}
		if queue == types.Outgoing && c.Persist.Outgoing == config.Off || queue == types.Incoming && c.Persist.Incoming != config.On {
			return fmt.Errorf("connection %s does not store %s (persist.%s is off): nothing can be imported while the gateway does not run", connection, queue, queue)
		}
		return nil
	}
	if i.loader.Has(connection) {
		return nil // an orphan, for now
	}
	return fmt.Errorf("%w: %q is not configured: say --to CONNECTION, or configure it", types.ErrUnknownConnection, connection)
}

func (i *importer) report(w io.Writer) error {
	if i.asJSON {
		return printJSON(w, i.total)
	}
	fmt.Fprintf(w, "imported %d messages", i.total.Imported)
	if n := i.total.Known; n > 0 {
		fmt.Fprintf(w, "; %d were left out, for they are here or were imported before", n)
	}
	fmt.Fprintln(w)
	for _, n := range i.notes {
		fmt.Fprintln(w, n)
	}
	return nil
}

// load has the gateway store messages.
func (g gateway) load(ctx context.Context, connection string, queue types.QueueName, again bool, list []archive.Message) (archive.Result, error) {
	var b bytes.Buffer
	w := archive.NewWriter(&b)
	for k := range list {
		if err := w.Write(&list[k]); err != nil {
			return archive.Result{}, err
		}
	}
	var r archive.Result
	query := url.Values{"queue": {string(queue)}, "again": {strconv.FormatBool(again)}}
	err := g.send(ctx, http.MethodPost, "/api/connections/"+url.PathEscape(connection)+"/import", query, &b, &r)
	var no *refusal
	if errors.As(err, &no) {
		_ = json.Unmarshal(no.body, &r) // what was stored until then
	}
	return r, err
}

var _ archive.Source = (*nedb.File)(nil)
