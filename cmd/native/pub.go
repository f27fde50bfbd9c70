//go:build !js

package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/mqttdb/mqttdb/types"
	"github.com/spf13/cobra"
)

func newPub(o *options) *cobra.Command {
	var file, wait string
	var qos uint8
	var timeout time.Duration
	retain := false
	cmd := &cobra.Command{
		Use: "pub TOPIC [PAYLOAD]", Short: "Publish a message through a running gateway",
		Long: `Publish a message through a running gateway. At QoS 1 and 2 it returns when the
message is stored, with --wait delivered when every broker that it is for has
it: that goes by the HTTP API, and fails if no connection forwards the topic.
Without PAYLOAD it is read from --file, or from the standard input.`,
		Args: wantArgs(1, 2, "TOPIC and at most one PAYLOAD"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if wait != "stored" && wait != "delivered" {
				return usageError{fmt.Errorf("--wait is stored or delivered, not %q", wait)}
			}
			m := types.Message{Topic: args[0], QoS: types.QoS(qos), Retain: retain}
			var err error
			switch {
			case len(args) == 2 && file != "":
				return usageError{fmt.Errorf("PAYLOAD and --file exclude each other")}
			case len(args) == 2:
				m.Payload = []byte(args[1])
			case file != "":
				if m.Payload, err = os.ReadFile(file); err != nil {
					return err
				}
			default:
				if m.Payload, err = io.ReadAll(cmd.InOrStdin()); err != nil {
					return fmt.Errorf("read the payload: %w", err)
				}
			}
			cfg, _, err := o.load()
			if err != nil {
				return err
			}
			if err := m.Check(int(cfg.MaxMessageSize)); err != nil {
				return err
			}
			if wait == "delivered" {
				return o.deliver(cmd.Context(), m, timeout)
			}
			ctx, cancel := context.WithTimeout(cmd.Context(), timeout)
			defer cancel()
			addr, err := plainAddress(&cfg.MQTT)
			if err != nil {
				return err
			}
			c, err := newClient(ctx, addr)
			if err != nil {
				return err
			}
			defer c.close(ctx)
			if err := c.publish(ctx, m); err != nil {
				if ctx.Err() != nil {
					return fmt.Errorf("not acknowledged within %v: the message may or may not be stored; see mqttdb status", timeout)
				}
				return err
			}
			return nil
		},
	}
	cmd.Flags().StringVar(&file, "file", "", "read the payload from this file")
	cmd.Flags().Uint8Var(&qos, "qos", 1, "0, 1 or 2")
	cmd.Flags().BoolVar(&retain, "retain", false, "set the retain flag")
	cmd.Flags().StringVar(&wait, "wait", "stored", "what to wait for: stored or delivered")
	cmd.Flags().DurationVar(&timeout, "timeout", 30*time.Second, "how long to wait for that")
	return cmd
}

// deliver publishes m and waits until the brokers have it.
func (o *options) deliver(ctx context.Context, m types.Message, timeout time.Duration) error {
	g, err := o.gateway()
	if err != nil {
		return err
	}
	seqs, err := g.deliver(ctx, m, timeout)
	if err == nil && len(seqs) == 0 {
		err = fmt.Errorf("no connection forwards %q: only local subscribers got it; mqttdb check shows the routes", m.Topic)
	}
	return err
}
