//go:build !js

package main

import (
	"fmt"
	"io"
	"os"
	"text/tabwriter"

	"github.com/mqttdb/mqttdb/config"
	"github.com/spf13/cobra"
)

func newCheck(o *options) *cobra.Command {
	return &cobra.Command{
		Use: "check [FILE]", Short: "Check a configuration and print what it means",
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
			return missingFiles(cmd.OutOrStdout(), cfg)
		},
	}
}

// describe prints what a valid configuration means.
func describe(w io.Writer, cfg config.Config, source string) error {
	fmt.Fprintf(w, "configuration from %s: no errors\n", source)
	fmt.Fprintf(w, "local MQTT at %s, HTTP at %s, data in %s\n", cfg.MQTT.Listen, cfg.HTTP.Listen, cfg.DataDir)
	if len(cfg.Connections) == 0 {
		_, err := fmt.Fprintln(w, "no connections: nothing is stored or forwarded; add one under connections:, or set MQTTDB_BROKER")
		return err
	}
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(tw, "\nCONNECTION\tDIRECTION\tTOPICS HERE\tTOPICS AT THE BROKER\tQOS\tBROKER")
	for i := range cfg.Connections {
		c := &cfg.Connections[i]
		if c.Forward == nil {
			what := "all but $-topics"
			if len(c.Subscribe) > 0 {
				what += " and what it subscribes to"
			}
			fmt.Fprintf(tw, "%s\tto the broker\t%s\tthe same\tkeep, at most %v\t%s\n", c.Name, what, c.MaxQoS, c.Endpoint())
		}
		for _, f := range c.Forward {
			fmt.Fprintf(tw, "%s\tto the broker\t%s\t%s\t%v, at most %v\t%s\n", c.Name, f.LocalPrefix+f.Topic, f.RemotePrefix+f.Topic, f.QoS, c.MaxQoS, c.Endpoint())
		}
		for _, s := range c.Subscribe {
			fmt.Fprintf(tw, "%s\tfrom the broker\t%s\t%s\tat most %v\t%s\n", c.Name, s.LocalPrefix+s.Topic, s.RemotePrefix+s.Topic, s.QoS, c.Endpoint())
		}
	}
	return tw.Flush()
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
