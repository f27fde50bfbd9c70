//go:build !js

package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/mqttdb/mqttdb/cmd/native/setup"
	"github.com/mqttdb/mqttdb/config"
	"github.com/spf13/cobra"
)

func newInit(o *options) *cobra.Command {
	var brokers []string
	var name, username, passwordFile, dataDir, from string
	cmd := &cobra.Command{
		Use: "init [FILE]", Short: "Write a configuration file with every key explained",
		Long: `Write a configuration file, mqttdb.yaml if no other is named, with every key,
what it means and its default. It never overwrites a file.

With --broker it has a connection to that broker; several are a failover order.

With --from it takes over what a configuration of mosquitto has: bridges become
connections, and listeners those of the local broker. Passwords of bridges go to
files of their own, which only their owner can read. What cannot be taken over is
named on the standard error, and nothing else is changed.`,
		Example: `  mqttdb init --broker mqtts://broker.example.com --username gw1
  mqttdb init --from /etc/mosquitto/mosquitto.conf /etc/mqttdb/mqttdb.yaml`,
		Args: wantArgs(0, 1, "at most one FILE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			file := searched[0]
			switch {
			case len(args) > 0:
				file = args[0]
			case o.config != "":
				file = o.config
			}
			made := &setup.Conversion{}
			var err error
			switch {
			case from != "" && (len(brokers) > 0 || username != "" || passwordFile != ""):
				return usageError{errors.New("--from and --broker exclude each other: add to the file what is missing")}
			case from != "":
				made, err = setup.FromMosquitto(from)
			default:
				made.Document, err = firstConfig(name, brokers, username, passwordFile)
			}
			if err != nil {
				return err
			}
			if dataDir != "" {
				made.Document.Set(yamlText(dataDir), "data_dir")
			}
			if err := writeFiles(file, made); err != nil {
				return err
			}
			for _, note := range made.Notes {
				fmt.Fprintln(cmd.ErrOrStderr(), note)
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "wrote %s; see what it means with: mqttdb check %s\n", file, file)
			return err
		},
	}
	cmd.Flags().StringArrayVar(&brokers, "broker", nil, "URL of a broker, like mqtts://broker.example.com")
	cmd.Flags().StringVar(&name, "name", config.EnvConnection, "name of the connection")
	cmd.Flags().StringVar(&username, "username", "", "user at the broker")
	cmd.Flags().StringVar(&passwordFile, "password-file", "", "file whose first line is the password")
	cmd.Flags().StringVar(&dataDir, "data-dir", "", "where the queues are stored, instead of ./data beside the file")
	cmd.Flags().StringVar(&from, "from", "", "mosquitto.conf to take over")
	return cmd
}

// firstConfig is a configuration with one connection, or with none.
func firstConfig(name string, brokers []string, username, passwordFile string) (*setup.Document, error) {
	d := setup.New(
		"The configuration of mqttdb. What begins with ## explains; a line that begins with",
		"# is a setting with its default: it counts without the #.",
		"docs/configuration.md says more; mqttdb check finds mistakes.")
	if !config.ValidName(name) {
		return nil, usageError{fmt.Errorf("--name %q: use a-z, 0-9, dot, dash and underscore", name)}
	}
	if len(brokers) == 0 && (username != "" || passwordFile != "") {
		return nil, usageError{errors.New("--username and --password-file need --broker")}
	}
	var urls []string
	for _, b := range brokers {
		if _, err := config.ParseBroker(b); err != nil {
			return nil, usageError{fmt.Errorf("--broker %w", err)}
		}
		urls = append(urls, yamlText(b))
	}
	switch len(urls) {
	case 0:
	case 1:
		d.Set(urls[0], "connections", name, "broker")
	default:
		d.Set("["+strings.Join(urls, ", ")+"]", "connections", name, "broker")
	}
	for key, value := range map[string]string{"username": username, "password_file": passwordFile} {
		if value != "" {
			d.Set(yamlText(value), "connections", name, key)
		}
	}
	d.Complete(name)
	return d, nil
}

// yamlText writes a text for the configuration file.
func yamlText(s string) string { return strconv.Quote(strings.ReplaceAll(s, "$", "$$")) }

// writeFiles writes a configuration and its secrets, or nothing.
func writeFiles(file string, made *setup.Conversion) (err error) {
	var written []string
	defer func() {
		if err != nil {
			for _, name := range written {
				os.Remove(name)
			}
		}
	}()
	write := func(name, text string, mode fs.FileMode) error {
		f, err := os.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, mode)
		if errors.Is(err, fs.ErrExist) {
			return fmt.Errorf("%s is there already and is not overwritten: move it away, or name another file", name)
		} else if err != nil {
			return fmt.Errorf("write the configuration: %w", err)
		}
		written = append(written, name)
		_, err = f.WriteString(text)
		return errors.Join(err, f.Close())
	}
	if err := write(file, made.Document.String(), 0o640); err != nil {
		return err
	}
	for name, secret := range made.Secrets {
		if err := write(filepath.Join(filepath.Dir(file), name), secret+"\n", 0o600); err != nil {
			return err
		}
	}
	return nil
}
