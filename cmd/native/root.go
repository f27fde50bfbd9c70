//go:build !js

package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/mqttdb/mqttdb"
)

// usageError is an error in the command line.
type usageError struct{ error }

// options are the flags that all commands have.
type options struct {
	config string
}

// newRoot returns the command line. Its shape is a contract (see README).
func newRoot() *cobra.Command {
	o := &options{}
	root := &cobra.Command{
		Use:   "mqttdb",
		Short: "A durable MQTT store-and-forward gateway",
		Long: `mqttdb stands between things that publish MQTT messages and brokers that are
not always there. What it has acknowledged it has on disk, and it forwards it,
in order, when the broker can be reached.

Begin with: mqttdb serve --demo`,
		SilenceUsage:  true,
		SilenceErrors: true,
		Args:          noArgs,
		RunE:          func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.PersistentFlags().StringVar(&o.config, "config", "", "configuration file (default: ./mqttdb.yaml, /etc/mqttdb/mqttdb.yaml, else MQTTDB_BROKER and the like)")
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return usageError{fmt.Errorf("%w; see %s --help", err, cmd.CommandPath())}
	})
	root.AddCommand(newInit(o), newServe(o), newCheck(o), newStatus(o), newClear(o), newMessages(o), newReplay(o), newDrain(o), newCompact(o), newPause(o), newResume(o), newReload(o), newPub(o), newSub(o), newInspect(o), newVerify(o), newExport(o), newImport(o), newProve(o), newPasswd(), newSidecar(), newVersion())
	return root
}

func noArgs(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	if !cmd.HasParent() {
		hint := ""
		if near := cmd.SuggestionsFor(args[0]); len(near) > 0 {
			hint = ", did you mean " + strings.Join(near, " or ") + "?"
		}
		return usageError{fmt.Errorf("no command %q%s; see mqttdb --help", args[0], hint)}
	}
	return usageError{fmt.Errorf("%s takes no %q; see %s --help", cmd.CommandPath(), args[0], cmd.CommandPath())}
}

// wantArgs checks the number of arguments and names them.
func wantArgs(low, high int, names string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) < low || high >= 0 && len(args) > high {
			return usageError{fmt.Errorf("%s wants %s, got %d arguments; see %s --help", cmd.CommandPath(), names, len(args), cmd.CommandPath())}
		}
		return nil
	}
}

func newVersion() *cobra.Command {
	licenses := false
	cmd := &cobra.Command{
		Use: "version", Short: "Print the version, or the licences of what is in the program", Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if licenses {
				_, err := io.WriteString(cmd.OutOrStdout(), mqttdb.ThirdPartyNotices())
				return err
			}
			_, err := fmt.Fprintln(cmd.OutOrStdout(), "mqttdb", version)
			return err
		},
	}
	cmd.Flags().BoolVar(&licenses, "licenses", false, "print the licences")
	return cmd
}
