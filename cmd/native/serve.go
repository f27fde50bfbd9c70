//go:build !js

package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"github.com/mqttdb/mqttdb/cmd/native/demo"
	"github.com/mqttdb/mqttdb/config"
	"github.com/spf13/cobra"
)

func newServe(o *options) *cobra.Command {
	var listenMQTT, listenHTTP, logLevel string
	isDemo := false
	cmd := &cobra.Command{
		Use: "serve [URL]", Short: "Run the gateway",
		Long: `Run the gateway: take messages from local MQTT clients, store them, and forward
them to the brokers of the configuration. It ends on SIGINT and SIGTERM within
five seconds and keeps what was not sent yet. On SIGHUP it reads its
configuration again, as by mqttdb reload.

URL is that of a broker, like mqtts://broker.example.com: it suffices without a
configuration file, and none is read then. It stands for MQTTDB_BROKER and goes
before it; MQTTDB_USERNAME, MQTTDB_PASSWORD_FILE and MQTTDB_DATA_DIR count.

Started by systemd it says when it is ready, how it does, and, for a watchdog,
that it is alive.

With --demo it also starts a demo sensor and a demo broker, and shows what
happens when the link is cut or the gateway is killed.`,
		Args: wantArgs(0, 1, "at most the URL of one broker"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if isDemo {
				if len(args) > 0 {
					return usageError{errors.New("--demo takes no URL: set MQTTDB_BROKER to use a real broker")}
				}
				return demo.Run(cmd.Context(), cmd.OutOrStdout(), nil)
			}
			var level slog.Level
			if err := level.UnmarshalText([]byte(logLevel)); err != nil {
				return usageError{fmt.Errorf("--log is debug, info, warn or error, not %q", logLevel)}
			}
			read := o.load
			if len(args) > 0 {
				var err error
				if read, err = o.broker(args[0]); err != nil {
					return err
				}
			}
			log := slog.New(slog.NewTextHandler(cmd.ErrOrStderr(), &slog.HandlerOptions{Level: level}))
			hangups := make(chan os.Signal, 1)
			signal.Notify(hangups, syscall.SIGHUP) // from now on it does not end the process
			defer signal.Stop(hangups)
			g, err := start(cmd.Context(), overridden(read, func(cfg *config.Config) {
				if listenMQTT != "" {
					cfg.MQTT.Listen = listenMQTT
				}
				if listenHTTP != "" {
					cfg.HTTP.Listen = listenHTTP
				}
			}), cmd.OutOrStdout(), log)
			if err != nil {
				return err
			}
			g.run(cmd.Context(), hangups)
			return g.stop(context.WithoutCancel(cmd.Context()))
		},
	}
	cmd.Flags().BoolVar(&isDemo, "demo", false, "run a demonstration (data in ./data)")
	cmd.Flags().StringVar(&listenMQTT, "listen", "", "host:port for local MQTT clients, instead of mqtt.listen")
	cmd.Flags().StringVar(&listenHTTP, "http", "", "host:port of the HTTP API, instead of http.listen")
	cmd.Flags().StringVar(&logLevel, "log", "info", "debug, info, warn or error")
	return cmd
}

// overridden reads the configuration anew each time, changes it as the command
// line says, and checks it.
func overridden(read source, change func(*config.Config)) source {
	return func() (config.Config, string, error) {
		cfg, from, err := read()
		if err != nil {
			return cfg, from, err
		}
		change(&cfg)
		if err := cfg.SetDefaultsAndValidate(); err != nil {
			return cfg, from, err
		}
		return cfg, from, cfg.CheckCircles()
	}
}
