//go:build !js

package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"strings"
	"time"

	"github.com/mqttdb/mqttdb"
	"github.com/mqttdb/mqttdb/config"
	"github.com/mqttdb/mqttdb/runtime"
	"github.com/mqttdb/mqttdb/sidecar"
	"github.com/spf13/cobra"
)

// sidecarClose is how long a sidecar may take to end.
const sidecarClose = 5 * time.Second

func newSidecar() *cobra.Command {
	var listen, logLevel string
	cmd := &cobra.Command{
		Use: "sidecar", Short: "Serve one program beside it, as the Node-RED nodes do",
		Long: `Serve the program that has started it, by the protocol of
docs/sidecar-protocol.md: what it publishes is stored, and sent on when its
brokers can be reached, and what brokers send is stored for it. The address is
printed as a line of JSON. It ends when standard input ends, or on SIGTERM, and
keeps what was not sent.

It reads no configuration file: the program says which brokers there are.`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var level slog.Level
			if err := level.UnmarshalText([]byte(logLevel)); err != nil {
				return usageError{fmt.Errorf("--log is debug, info, warn or error, not %q", logLevel)}
			}
			if listen != "" && listen != "tcp" && !strings.HasPrefix(listen, "unix:") {
				return usageError{fmt.Errorf("--listen is unix:PATH or tcp, not %q", listen)}
			}
			log := slog.New(slog.NewJSONHandler(cmd.ErrOrStderr(), &slog.HandlerOptions{Level: level}))
			return runSidecar(cmd.Context(), listen, cmd.InOrStdin(), cmd.OutOrStdout(), log)
		},
	}
	cmd.Flags().StringVar(&listen, "listen", "", "unix:PATH, or tcp for a port of 127.0.0.1, with a token in the first line of standard input (default: a Unix socket in a new private directory)")
	cmd.Flags().StringVar(&logLevel, "log", "info", "debug, info, warn or error")
	return cmd
}

func runSidecar(ctx context.Context, listen string, in io.Reader, out io.Writer, log *slog.Logger) (err error) {
	reserved := reserveMemory()
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	lines := bufio.NewReader(in)
	token := ""
	if listen == "tcp" {
		line, err := lines.ReadString('\n')
		if err != nil && !errors.Is(err, io.EOF) {
			return fmt.Errorf("read the token: %w", err)
		}
		token = strings.TrimRight(line, "\r\n")
		if err := sidecar.CheckToken(token); err != nil {
			return err
		}
	}
	address, err := sidecar.Listen(listen)
	if err != nil {
		return err
	}
	server := sidecar.New(sidecar.Options{Version: version, Token: token, Open: openEngine(log), Stop: stop, Logger: log})
	served := make(chan error, 1)
	go func() { served <- server.Serve(address) }()
	go func() { // it ends with the process, if standard input does not
		_, _ = io.Copy(io.Discard, lines)
		stop()
	}()
	tending, calm := context.WithCancel(context.Background())
	defer calm()
	go reserved.tend(tending)
	defer func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), sidecarClose)
		defer cancel()
		err = errors.Join(err, server.Close(ctx), ignoreClosed(address.Close()))
	}()
	hello := struct {
		Protocol int    `json:"protocol"`
		Version  string `json:"version"`
		Address  string `json:"address"`
	}{sidecar.Version, version, address.Name}
	if err := json.NewEncoder(out).Encode(hello); err != nil {
		return fmt.Errorf("print the address: %w", err)
	}
	select {
	case <-ctx.Done():
		return nil
	case err := <-served:
		return err
	}
}

func ignoreClosed(err error) error {
	if errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}

// openEngine starts runtimes as the library does.
func openEngine(log *slog.Logger) sidecar.OpenEngine {
	return func(ctx context.Context, c config.Config, h sidecar.Hooks) (sidecar.Engine, error) {
		of := func(c config.Config) mqttdb.Config {
			return mqttdb.Config{
				DataDir: c.DataDir, MaxMessageSize: c.MaxMessageSize, Connections: c.Connections,
				Logger: log, Paused: h.Paused, Buffered: h.Buffered, Hooks: mqttdb.Hooks{TLS: h.TLS},
			}
		}
		db, err := mqttdb.Open(ctx, of(c))
		if err != nil {
			return sidecar.Engine{}, err
		}
		return sidecar.Engine{Runtime: db.Runtime, Reload: func(ctx context.Context, c config.Config) (runtime.Reloaded, error) {
			return db.Reload(ctx, of(c))
		}}, nil
	}
}
