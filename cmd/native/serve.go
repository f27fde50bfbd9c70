//go:build !js

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"time"

	"github.com/mqttdb/mqttdb"
	"github.com/mqttdb/mqttdb/cmd/native/demo"
	"github.com/mqttdb/mqttdb/config"
	"github.com/mqttdb/mqttdb/httpapi"
	"github.com/mqttdb/mqttdb/listener"
	"github.com/spf13/cobra"
)

// A gateway takes no longer than that to stop: service managers and people grow
// impatient. Local clients get a part of it, so that a store that hangs leaves
// time for the rest.
const (
	stopTime   = 4 * time.Second
	intakeTime = 1500 * time.Millisecond
)

func newServe(o *options) *cobra.Command {
	var listenMQTT, listenHTTP, logLevel string
	isDemo := false
	cmd := &cobra.Command{
		Use: "serve", Short: "Run the gateway",
		Long: `Run the gateway: take messages from local MQTT clients, store them, and forward
them to the brokers of the configuration. It ends on SIGINT and SIGTERM within
five seconds and keeps what was not sent yet.

With --demo it also starts a demo sensor and a demo broker, and shows what
happens when the link is cut or the gateway is killed.`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if isDemo {
				return demo.Run(cmd.Context(), cmd.OutOrStdout(), nil)
			}
			var level slog.Level
			if err := level.UnmarshalText([]byte(logLevel)); err != nil {
				return usageError{fmt.Errorf("--log is debug, info, warn or error, not %q", logLevel)}
			}
			cfg, source, err := o.load()
			if err != nil {
				return err
			}
			if listenMQTT != "" {
				cfg.MQTT.Listen = listenMQTT
			}
			if listenHTTP != "" {
				cfg.HTTP.Listen = listenHTTP
			}
			if err := cfg.SetDefaultsAndValidate(); err != nil {
				return err
			}
			if err := cfg.CheckCircles(); err != nil {
				return err
			}
			log := slog.New(slog.NewTextHandler(cmd.ErrOrStderr(), &slog.HandlerOptions{Level: level}))
			return serve(cmd.Context(), cfg, source, cmd.OutOrStdout(), log)
		},
	}
	cmd.Flags().BoolVar(&isDemo, "demo", false, "run a demonstration (data in ./data)")
	cmd.Flags().StringVar(&listenMQTT, "listen", "", "host:port for local MQTT clients, instead of mqtt.listen")
	cmd.Flags().StringVar(&listenHTTP, "http", "", "host:port of the HTTP API, instead of http.listen")
	cmd.Flags().StringVar(&logLevel, "log", "info", "debug, info, warn or error")
	return cmd
}

// serve runs a gateway until ctx ends.
func serve(ctx context.Context, cfg config.Config, source string, out io.Writer, log *slog.Logger) error {
	db, err := mqttdb.Open(ctx, mqttdb.Config{
		DataDir: cfg.DataDir, Connections: cfg.Connections, MaxMessageSize: cfg.MaxMessageSize, Logger: log,
	})
	if err != nil {
		return err
	}
	go tendMemory(ctx)
	stop := func(ctx context.Context, what string, f func(context.Context) error) error {
		if err := f(ctx); err != nil {
			return fmt.Errorf("stop %s: %w", what, err)
		}
		return nil
	}
	local, err := listener.Listen(ctx, listener.Options{
		Addr: cfg.MQTT.Listen, MaxMessageSize: int(cfg.MaxMessageSize), ReceiveMax: cfg.MQTT.ReceiveMax, Logger: log, Sink: sink{db},
	})
	if err != nil {
		return errors.Join(err, db.Close(context.WithoutCancel(ctx)))
	}
	db.Deliver(local.Deliver)
	web, err := httpapi.Listen(ctx, api{db}, httpapi.Options{
		Addr: cfg.HTTP.Listen, AllowedHosts: cfg.HTTP.AllowedHosts, MaxMessageSize: cfg.MaxMessageSize, Logger: log,
	})
	if err != nil {
		done, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTime)
		defer cancel()
		return errors.Join(err, local.Close(done), db.Close(done))
	}
	fmt.Fprintf(out, "mqttdb %s: configuration from %s, data in %s\n", version, source, cfg.DataDir)
	fmt.Fprintf(out, "local MQTT at %s, status at http://%s/api/connections (or: mqttdb status)\n", local.Addr(), web.Addr())
	if len(cfg.Connections) == 0 {
		fmt.Fprintln(out, "no connections are configured: messages only reach local subscribers; set MQTTDB_BROKER, or write mqttdb.yaml (see README)")
	}

	<-ctx.Done()
	started := time.Now()
	log.Info("stopping: no more messages are taken, what is in flight may finish")
	done, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTime)
	defer cancel()
	intake, cancelIntake := context.WithTimeout(done, intakeTime)
	defer cancelIntake()
	err = errors.Join(
		stop(intake, "the local listener", local.Close),
		stop(done, "the connections", db.Close),
		stop(done, "the HTTP API", web.Close),
	)
	log.Info("stopped", "took", time.Since(started).Round(time.Millisecond))
	return err
}
