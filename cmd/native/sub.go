//go:build !js

package main

import (
	"fmt"

	"github.com/mqttdb/mqttdb/broker"
	"github.com/mqttdb/mqttdb/types"
	"github.com/spf13/cobra"
)

func newSub(o *options) *cobra.Command {
	var qos uint8
	count := 0
	verbose := false
	cmd := &cobra.Command{
		Use: "sub FILTER…", Short: "Print the messages that pass through a running gateway",
		Long: `Print the payloads of the messages that match, one a line, as they pass through
a running gateway, until interrupted.`,
		Args: wantArgs(1, -1, "at least one FILTER"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if qos > 2 {
				return usageError{fmt.Errorf("--qos is 0, 1 or 2")}
			}
			var filters []broker.Filter
			for _, f := range args {
				if err := types.CheckFilter(f); err != nil {
					return usageError{err}
				}
				filters = append(filters, broker.Filter{Topic: f, QoS: types.QoS(qos)})
			}
			cfg, _, err := o.load()
			if err != nil {
				return err
			}
			ctx := cmd.Context()
			addr, err := plainAddress(&cfg.MQTT)
			if err != nil {
				return err
			}
			c, err := newClient(ctx, addr)
			if err != nil {
				return err
			}
			if err := c.subscribe(ctx, filters); err != nil {
				return err
			}
			for n := 0; count == 0 || n < count; {
				e, err := c.next(ctx)
				if ctx.Err() != nil {
					return nil // interrupted, which is how it ends
				} else if err != nil {
					return err
				}
				in, ok := e.(broker.Received)
				if !ok {
					continue
				}
				if err := c.link.Acknowledge(answers(in.Packets)); err != nil {
					return err
				}
				for _, p := range in.Packets {
					if p.Kind != broker.Message || count > 0 && n == count {
						continue
					}
					n++
					line := string(p.Message.Payload) + "\n"
					if verbose {
						line = p.Message.Topic + " " + line
					}
					if _, err := fmt.Fprint(cmd.OutOrStdout(), line); err != nil {
						return err
					}
				}
			}
			c.close(ctx)
			return nil
		},
	}
	cmd.Flags().Uint8Var(&qos, "qos", 0, "0, 1 or 2")
	cmd.Flags().IntVar(&count, "count", 0, "end after this many messages; 0: never")
	cmd.Flags().BoolVarP(&verbose, "verbose", "v", false, "print topics too")
	return cmd
}

// answers are the acknowledgements that packets ask for.
func answers(packets []broker.Inbound) []broker.Ack {
	var out []broker.Ack
	for _, p := range packets {
		switch {
		case p.Kind == broker.Release:
			out = append(out, broker.Ack{Kind: broker.PubComp, ID: p.ID})
		case p.Message.QoS == 1:
			out = append(out, broker.Ack{Kind: broker.PubAck, ID: p.ID})
		case p.Message.QoS == 2:
			out = append(out, broker.Ack{Kind: broker.PubRec, ID: p.ID})
		}
	}
	return out
}
