//go:build !js

package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/mqttdb/mqttdb/archive"
	"github.com/mqttdb/mqttdb/cmd/native/stored"
	"github.com/mqttdb/mqttdb/config"
	"github.com/mqttdb/mqttdb/types"
)

func newExport(o *options) *cobra.Command {
	var e export
	cmd := &cobra.Command{
		Use: "export CONNECTION | DIR", Short: "Write stored messages as lines of JSON",
		Long: `Write messages that are stored, one JSON object in each line, with all that
mqttdb import needs: what is pending, or with --queue other ones. They stay where
they are.

Of a connection the gateway is asked; if it does not run the files are read, of
which not one byte is changed. DIR is the directory of a queue, of a connection
or of all of them (data_dir).`,
		Example: `  mqttdb export cloud --output cloud.ndjson
  mqttdb export cloud --dead --since 24h
  mqttdb export /var/lib/mqttdb | gzip >all.ndjson.gz`,
		Args:              wantArgs(1, 1, "CONNECTION or DIR"),
		ValidArgsFunction: o.completeConnection,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := e.check(); err != nil {
				return err
			}
			p, err := o.reach(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			return e.run(cmd, &p)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&e.queue, "queue", "", "which messages: outgoing, incoming, dead, incoming_dead, sent or, of _local, retained (default: what is pending in outgoing and incoming)")
	flags.BoolVar(&e.dead, "dead", false, "the dead letters: short for --queue dead")
	flags.StringVar(&e.topic, "topic", "", "only messages whose topic (as it is stored) matches this filter")
	flags.StringVar(&e.since, "since", "", "only messages accepted within this time, as in 24h")
	flags.Uint64Var(&e.after, "after", 0, "only messages with a higher number")
	flags.StringVarP(&e.output, "output", "o", "", "write to this file, which is there only when it is whole (default: standard output)")
	return cmd
}

// export is what is to be written.
type export struct {
	queue, topic, since, output string
	after                       uint64
	dead                        bool

	extract types.Extract // but for the queue
	count   uint64
	damaged []error
	bar     *progress
}

func (e *export) check() error {
	if e.dead && e.queue != "" && e.queue != string(types.DeadLetters) {
		return usageError{fmt.Errorf("--dead means --queue dead, and not %s", e.queue)}
	}
	if e.dead {
		e.queue = string(types.DeadLetters)
	}
	e.extract = types.Extract{Filter: e.topic, After: types.Seq(e.after)}
	if e.topic != "" {
		if err := types.CheckFilter(e.topic); err != nil {
			return usageError{fmt.Errorf("--topic: %w", err)}
		}
	}
	if e.since != "" {
		d, err := config.ParseDuration(e.since)
		if err != nil {
			return usageError{fmt.Errorf("--since: %w", err)}
		}
		e.extract.Since = time.Now().Add(-d)
	}
	return nil
}

func (e *export) run(cmd *cobra.Command, p *place) error {
	parts, err := p.parts(types.QueueName(e.queue))
	if err != nil {
		return err
	}
	if e.output != "" && e.output != "-" { // else what is written is what is shown
		e.bar = newProgress(cmd.ErrOrStderr())
		defer e.bar.end()
	}
	err = e.to(cmd.OutOrStdout(), func(w io.Writer) error {
		for _, part := range parts {
			if err := e.part(cmd.Context(), w, p, part); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	if e.bar != nil {
		e.bar.end()
		fmt.Fprintf(cmd.OutOrStdout(), "exported %d messages to %s\n", e.count, e.output)
	}
	if n := len(e.damaged); n > 0 {
		return fmt.Errorf("what could be read is exported; something is damaged or missing, see mqttdb verify: %w", e.damaged[0])
	}
	return nil
}

// to calls write with where the messages go.
func (e *export) to(stdout io.Writer, write func(io.Writer) error) error {
	if e.output == "" || e.output == "-" {
		w := bufio.NewWriterSize(stdout, 64<<10)
		if err := write(w); err != nil {
			return err
		}
		return w.Flush()
	}
	f, err := os.CreateTemp(filepath.Dir(e.output), ".mqttdb-export-*") // 0600
	if err != nil {
		return fmt.Errorf("write %s: %w", e.output, err)
	}
	defer os.Remove(f.Name()) // which is not there any more, if all went well
	defer f.Close()
	w := bufio.NewWriterSize(f, 256<<10)
	if err := write(w); err != nil {
		return err
	}
	if err := w.Flush(); err != nil {
		return fmt.Errorf("write %s: %w", e.output, err)
	}
	if err := f.Sync(); err != nil {
		return fmt.Errorf("write %s: %w", e.output, err)
	}
	return os.Rename(f.Name(), e.output)
}

func (e *export) part(ctx context.Context, w io.Writer, p *place, part part) error {
	if part.dir == "" {
		return e.ask(ctx, w, p, part)
	}
	x := e.extract
	x.Queue = part.queue
	lines := archive.NewWriter(w)
	return stored.Read(ctx, part.dir, x, func(err error) { e.damaged = append(e.damaged, fmt.Errorf("%s: %w", part.dir, err)) },
		func(m *archive.Message) error {
			e.wrote(1)
			return lines.Write(m)
		})
}

// ask has the gateway write messages.
func (e *export) ask(ctx context.Context, w io.Writer, p *place, part part) error {
	query := url.Values{"queue": {string(part.queue)}, "after": {strconv.FormatUint(e.after, 10)}}
	for key, value := range map[string]string{"topic": e.topic, "since": e.since} {
		if value != "" {
			query.Set(key, value)
		}
	}
	err := p.gateway.read(ctx, "/api/connections/"+url.PathEscape(p.connection)+"/export", query, func(r io.Reader) error {
		_, err := io.Copy(&counted{w, e}, r)
		return err
	})
	if part.all && part.queue == types.Incoming && isRefusal(err, 400) {
		return nil // it stores none
	}
	return err
}

// counted notes how many lines are written.
type counted struct {
	w io.Writer
	e *export
}

func (c *counted) Write(b []byte) (int, error) {
	c.e.wrote(uint64(bytes.Count(b, []byte{'\n'})))
	return c.w.Write(b)
}

func (e *export) wrote(n uint64) {
	e.count += n
	if e.bar != nil {
		e.bar.count("export", e.count)
	}
}
