//go:build !js

package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/mqttdb/mqttdb"
	"github.com/mqttdb/mqttdb/config"
	"github.com/spf13/cobra"
)

func newCheck(o *options) *cobra.Command {
	connect := false
	cmd := &cobra.Command{
		Use: "check [FILE]", Short: "Check a configuration and print what it means",
		Long: `Check a configuration, print its routes as a table, and warn of what they do that
may not be expected.

With --connect it also tries each broker: it connects, greets it, and leaves. A
gateway that runs is not disturbed, for it has another client id. Nothing is
published or subscribed.`,
		Args: wantArgs(0, 1, "at most one FILE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 1 {
				o = &options{config: args[0]}
			}
			cfg, source, err := o.load()
			if err != nil {
				return err
			}
			if err := cfg.CheckCircles(); err != nil {
				return err
			}
			if err := describe(cmd.OutOrStdout(), cfg, source); err != nil {
				return err
			}
			if err := describeLocal(cmd.OutOrStdout(), &cfg.MQTT); err != nil {
				return err
			}
			if err := missingCertificates(cmd.OutOrStdout(), &cfg.MQTT); err != nil {
				return err
			}
			if err := missingFiles(cmd.OutOrStdout(), cfg); err != nil {
				return err
			}
			if err := surprises(cmd.OutOrStdout(), cfg); err != nil {
				return err
			}
			if connect {
				return tryBrokers(cmd.Context(), cmd.OutOrStdout(), cfg)
			}
			return nil
		},
	}
	cmd.Flags().BoolVar(&connect, "connect", false, "try to connect to each broker")
	return cmd
}

// describe prints what a valid configuration means.
func describe(w io.Writer, cfg config.Config, source string) error {
	fmt.Fprintf(w, "configuration from %s: no errors\n", source)
	fmt.Fprintf(w, "local MQTT at %s, HTTP at %s, data in %s\n", cfg.MQTT.Listen, cfg.HTTP.Listen, cfg.DataDir)
	if len(cfg.Connections) == 0 {
		_, err := fmt.Fprintln(w, "no connections: nothing is stored or forwarded; add one under connections:, or set MQTTDB_BROKER")
		return err
	}
	return describeRoutes(w, cfg)
}

// describeRoutes prints the way of messages, a line for each.
func describeRoutes(w io.Writer, cfg config.Config) error {
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(tw, "\nCONNECTION\tTOPICS HERE\t\tTOPICS AT THE BROKER\tQOS\tFLAGS\tBROKER")
	for i := range cfg.Connections {
		c := &cfg.Connections[i]
		line := func(here, way, there, qos string, flags ...string) {
			if c.Bridge {
				flags = append(flags, "bridge")
			}
			flags = slices.DeleteFunc(flags, func(f string) bool { return f == "" })
			fmt.Fprintf(tw, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", c.Name, here, way, there, qos, strings.Join(flags, ", "), c.Endpoint())
		}
		if c.Forward == nil {
			what := "all but $-topics"
			if len(c.Subscribe) > 0 {
				what += " and what it subscribes to"
			}
			line(what, "→", "the same", outgoingQoS(config.QoSKeep, c.MaxQoS), flag(c.Retain == config.RetainClear, "retain cleared"))
		}
		for _, f := range c.Forward {
			line(f.LocalPrefix+f.Topic, "→", f.RemotePrefix+f.Topic, outgoingQoS(f.QoS, c.MaxQoS), flag(f.Relay, "relay"),
				flag(f.Envelope == config.EnvelopeJSON, "envelope json"), flag(c.Retain == config.RetainClear, "retain cleared"))
		}
		for _, s := range c.Subscribe {
			line(s.LocalPrefix+s.Topic, "←", s.RemotePrefix+s.Topic, fmt.Sprintf("at most %v", s.QoS), flag(s.Retain == config.RetainClear, "retain cleared"))
		}
	}
	return tw.Flush()
}

// outgoingQoS says with which QoS messages go to the broker.
func outgoingQoS(q, most config.QoS) string {
	if q == config.QoSKeep {
		return fmt.Sprintf("keep, at most %v", most)
	}
	return min(q, most).String()
}

// flag is name if on.
func flag(on bool, name string) string {
	if on {
		return name
	}
	return ""
}

// surprises warns of what the routes do that may not be expected.
func surprises(w io.Writer, cfg config.Config) error {
	for _, s := range cfg.Surprises() {
		if _, err := fmt.Fprintf(w, "warning: %v\n", &s); err != nil {
			return err
		}
	}
	return nil
}

// tryTime is how long one broker may take.
const tryTime = 20 * time.Second

// tryBrokers connects to each broker.
func tryBrokers(ctx context.Context, w io.Writer, cfg config.Config) error {
	fmt.Fprintln(w)
	refused := 0
	for _, c := range cfg.Connections {
		limited, cancel := context.WithTimeout(ctx, tryTime)
		err := mqttdb.Probe(limited, c, mqttdb.Hooks{})
		cancel()
		if err == nil {
			fmt.Fprintf(w, "%s: connected\n", c.Name)
			continue
		}
		refused++
		for _, line := range strings.Split(err.Error(), "\n") {
			fmt.Fprintf(w, "%s: %s\n", c.Name, line)
		}
	}
	if refused > 0 {
		return fmt.Errorf("%d of %d connections cannot be made; see above", refused, len(cfg.Connections))
	}
	return nil
}

// missingFiles warns of files that connections need and that cannot be read now.
// They are no errors: they are read anew for each attempt to connect, and may be
// put there later.
func missingFiles(w io.Writer, cfg config.Config) error {
	for i := range cfg.Connections {
		c := &cfg.Connections[i]
		for _, f := range []struct{ key, name string }{
			{"password_file", c.PasswordFile},
			{"tls.ca_file", c.TLS.CAFile}, {"tls.cert_file", c.TLS.CertFile}, {"tls.key_file", c.TLS.KeyFile},
		} {
			if f.name == "" {
				continue
			}
			if _, err := os.ReadFile(f.name); err != nil {
				if _, err := fmt.Fprintf(w, "warning: connections.%s.%s: %v; the connection cannot be made before that is mended\n", c.Name, f.key, err); err != nil {
					return err
				}
			}
		}
	}
	return nil
}
