//go:build !js

package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"
)

// mostSettings is how many are named, so that it stays one line that can be read.
const mostSettings = 20

func newReload(o *options) *cobra.Command {
	return &cobra.Command{
		Use: "reload", Short: "Have a running gateway read its configuration again",
		Long: `Have a running gateway read its configuration again: brokers, credentials,
limits and routes change, connections come and go, without anything being lost.
What did not change is not touched.

If something is wrong with the configuration, or takes a restart (data_dir,
addresses, max_message_size, sync, persist), it says so and nothing changes at
all. Otherwise it says what changed. SIGHUP does the same; the outcome is in the log then, and in mqttdb status.`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			g, err := o.gateway()
			if err != nil {
				return err
			}
			done, err := g.reload(cmd.Context())
			if err != nil {
				return err
			}
			var parts []string
			for _, p := range []struct {
				what  string
				names []string
			}{{"added", done.Added}, {"removed", done.Removed}, {"changed", done.Changed}} {
				if len(p.names) > 0 {
					parts = append(parts, p.what+" "+strings.Join(p.names, ", "))
				}
			}
			if n := len(done.Settings); n > 0 {
				text := "settings: " + strings.Join(done.Settings[:min(n, mostSettings)], ", ")
				if n > mostSettings {
					text += fmt.Sprintf(" and %d more", n-mostSettings)
				}
				parts = append(parts, text)
			}
			if len(parts) == 0 {
				parts = []string{"nothing changed"}
			}
			_, err = fmt.Fprintln(cmd.OutOrStdout(), strings.Join(parts, "; "))
			return err
		},
	}
}
