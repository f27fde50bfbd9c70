//go:build !js

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/mqttdb/mqttdb/cmd/native/prove"
	"github.com/mqttdb/mqttdb/config"
	"github.com/mqttdb/mqttdb/types"
	"github.com/spf13/cobra"
)

// proveFlags are the flags of prove.
type proveFlags struct {
	prove.Options
	broker, username, passwordFile string
	caFile, certFile, keyFile      string
	qos                            []int
}

func newProve(o *options) *cobra.Command {
	f := &proveFlags{}
	cmd := &cobra.Command{
		Use: "prove [CONNECTION | URL]", Short: "Demonstrate on this disk and at your broker that nothing is lost",
		Long: `Demonstrate the guarantees on your own disk and at your own broker: numbered
messages with checksums go through a gateway of its own, which is killed (kill -9)
again and again and whose link to the broker is cut, and a subscriber at the broker
counts what arrives.

The broker is that of CONNECTION in the configuration file, with its credentials,
or the one of URL or --broker, which are the same. A gateway that runs is not
touched, nor is its data: the store lies in a directory of its own beside data_dir,
topics begin with mqttdb-prove (whoever subscribes to # sees them), client ids too.
Directory and sessions at the broker are removed in the end; the directory stays
when something went wrong.

Exit status 0: everything came as promised. 1: it did not, or could not be tried;
what is wrong is said.`,
		Example: `  mqttdb prove --broker mqtt://localhost
  mqttdb prove --broker mqtts://broker.example.com --username gw1 --password-file pw --qos 1
  mqttdb prove cloud --messages 100000 --kills 50 --cuts 50`,
		Args:              wantArgs(0, 1, "at most one CONNECTION or URL"),
		ValidArgsFunction: o.completeConfigured,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := f.complete(o, args); err != nil {
				return f.inFlags(err)
			}
			bar := newProgress(cmd.ErrOrStderr())
			f.Progress = bar.show
			report, err := prove.Run(cmd.Context(), f.Options)
			bar.end()
			if printed := report.Print(cmd.OutOrStdout()); printed != nil {
				return printed
			}
			switch {
			case errors.Is(err, context.Canceled):
				return errors.New("interrupted: nothing is proven")
			case err == nil && !report.Proven():
				return errors.New("not proven; see above")
			}
			return f.inFlags(err)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&f.broker, "broker", "", "URL of the broker, like mqtts://broker.example.com")
	flags.StringVar(&f.username, "username", "", "user at the broker")
	flags.StringVar(&f.passwordFile, "password-file", "", "file whose first line is the password")
	flags.StringVar(&f.caFile, "ca-file", "", "certificate of the authority that signed the broker's, instead of the system's")
	flags.StringVar(&f.certFile, "cert-file", "", "client certificate")
	flags.StringVar(&f.keyFile, "key-file", "", "its key")
	flags.IntSliceVar(&f.qos, "qos", nil, "what is proven: 0, 1 and 2 (default 2 and 1, as far as the broker does them)")
	flags.BoolVar(&f.Incoming, "incoming", false, "prove the way from the broker to a local subscriber instead (persist.incoming: true)")
	flags.IntVar(&f.Messages, "messages", 20000, "how many, for each QoS")
	flags.IntVar(&f.Kills, "kills", 5, "how often the gateway is killed, for each QoS")
	flags.IntVar(&f.Cuts, "cuts", 5, "how often its link is cut, for each QoS")
	flags.IntVar(&f.Backlog, "backlog", 500, "how many messages may be on their way; most brokers drop what they queue beyond 1000 for a subscriber")
	flags.StringVar(&f.Dir, "dir", "", "where the scratch store is made, instead of beside data_dir")
	flags.BoolVar(&f.Keep, "keep", false, "keep the scratch store")
	flags.StringVar(&f.Topic, "topic", "", "what the topics begin with (default mqttdb-prove)")
	flags.StringVar(&f.ClientID, "client-id", "", "what the client ids begin with (default mqttdb-prove)")
	return cmd
}

// complete checks the flags and finds the connection.
func (f *proveFlags) complete(o *options, args []string) error {
	if len(args) > 0 && f.broker == "" && strings.Contains(args[0], "://") {
		f.broker, args = args[0], nil
	}
	for _, n := range f.qos {
		if n < 0 || n > 2 || slices.Contains(f.QoS, types.QoS(n)) {
			return usageError{fmt.Errorf("--qos is 0, 1 and 2, each at most once, and not %v", f.qos)}
		}
		f.QoS = append(f.QoS, types.QoS(n))
	}
	switch {
	case f.Incoming && slices.Contains(f.QoS, 0):
		return usageError{errors.New("--incoming is for QoS 1 and 2: nothing at QoS 0 is stored by the broker for a gateway that is down")}
	case f.Messages < 1:
		return usageError{fmt.Errorf("--messages is at least 1, not %d", f.Messages)}
	case f.Kills < 0 || f.Cuts < 0:
		return usageError{errors.New("--kills and --cuts are 0 or more")}
	case f.Backlog < 1:
		return usageError{fmt.Errorf("--backlog is at least 1, not %d", f.Backlog)}
	case f.Topic != "" && types.CheckTopic(f.Topic) != nil, strings.HasPrefix(f.Topic, "$"):
		return usageError{fmt.Errorf("--topic %q is none that can be published to", f.Topic)}
	case f.broker != "" && len(args) > 0:
		return usageError{errors.New("CONNECTION and --broker exclude each other")}
	case f.broker == "" && (f.username != "" || f.passwordFile != "" || f.caFile != "" || f.certFile != "" || f.keyFile != ""):
		return usageError{errors.New("--username and the files are for --broker: a connection of the configuration has its own")}
	}
	read := o.load
	if f.broker != "" {
		source, err := o.broker(f.broker)
		if err != nil {
			return err
		}
		read = source
	}
	cfg, from, err := read()
	if err != nil {
		return err
	}
	f.DataDir = cfg.DataDir
	if f.Connection, err = oneConnection(cfg, from, args); err != nil || f.broker == "" {
		return err
	}
	return f.credentials()
}

// oneConnection is the one that is named, or the only one.
func oneConnection(cfg config.Config, from string, args []string) (config.Connection, error) {
	var names []string
	for _, c := range cfg.Connections {
		if len(args) > 0 && c.Name == args[0] || len(args) == 0 && len(cfg.Connections) == 1 {
			return c, nil
		}
		names = append(names, c.Name)
	}
	switch {
	case len(names) == 0:
		return config.Connection{}, usageError{errors.New("which broker? Name it: mqttdb prove --broker mqtt://localhost")}
	case len(args) == 0:
		return config.Connection{}, usageError{fmt.Errorf("which connection? %s has %s", from, strings.Join(names, ", "))}
	}
	return config.Connection{}, usageError{fmt.Errorf("no connection %q in %s, which has %s", args[0], from, strings.Join(names, ", "))}
}

// credentials puts those of the flags into the connection of --broker.
func (f *proveFlags) credentials() error {
	c := &f.Connection
	for _, file := range []struct {
		flag, value string
		to          *string
	}{
		{"password-file", f.passwordFile, &c.PasswordFile},
		{"ca-file", f.caFile, &c.TLS.CAFile},
		{"cert-file", f.certFile, &c.TLS.CertFile},
		{"key-file", f.keyFile, &c.TLS.KeyFile},
	} {
		if file.value != "" {
			*file.to = file.value
		}
		if *file.to == "" {
			continue
		}
		if _, err := os.ReadFile(*file.to); err != nil {
			return fmt.Errorf("--%s: %w", file.flag, err)
		}
		abs, err := filepath.Abs(*file.to)
		if err != nil {
			return err
		}
		*file.to = abs // the gateway is run in the same directory, but who knows
	}
	if f.username != "" {
		c.Username = f.username
	}
	cfg := config.Config{Connections: []config.Connection{*c}}
	if err := cfg.SetDefaultsAndValidate(); err != nil {
		return usageError{err}
	}
	f.Connection = cfg.Connections[0]
	return nil
}

// inFlags says what err says of the keys of a configuration file, which there is
// none of with --broker, with the flags that stand for them.
func (f *proveFlags) inFlags(err error) error {
	if err == nil || f.broker == "" {
		return err
	}
	text := strings.NewReplacer(
		"connections."+config.EnvConnection+".tls: is set", "--ca-file, --cert-file: one is given",
		"connections."+config.EnvConnection+".", "", "or remove tls", "or leave that out",
		"username and password_file", "--username and --password-file", "tls.ca_file", "--ca-file", "tls.cert_file", "--cert-file", "tls.key_file", "--key-file",
		"another client_id", "another --client-id", "set protocol to another version", "name the broker in a configuration file, with another protocol",
	).Replace(err.Error())
	if errors.As(err, new(usageError)) {
		return usageError{errors.New(text)}
	}
	return errors.New(text)
}

// completeConfigured offers the shell the connections of the configuration.
func (o *options) completeConfigured(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	var names []string
	if cfg, _, err := o.load(); err == nil && len(args) == 0 {
		for i := range cfg.Connections {
			names = append(names, cfg.Connections[i].Name)
		}
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}
