//go:build !js

package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/mqttdb/mqttdb/listener"
	"github.com/mqttdb/mqttdb/types"
)

func newPasswd() *cobra.Command {
	var publish, subscribe []string
	cmd := &cobra.Command{
		Use: "passwd USER", Short: "Print the entry of a local user for the configuration",
		Long: `Print the entry of a user of the local broker, to be put below mqtt.users in the
configuration. The password is asked for, or read from standard input (its first
line). Only a hash of it is printed.`,
		Args: wantArgs(1, 1, "one USER"),
		RunE: func(cmd *cobra.Command, args []string) error {
			for _, f := range append(append([]string(nil), publish...), subscribe...) {
				if err := types.CheckFilter(f); err != nil {
					return usageError{err}
				}
			}
			password, err := askPassword(cmd.InOrStdin(), cmd.ErrOrStderr(), args[0])
			if err != nil {
				return err
			}
			hash, err := listener.HashPassword(password)
			if err != nil {
				return err
			}
			user := listener.User{Name: args[0], PasswordHash: hash, Publish: publish, Subscribe: subscribe}
			if err := listener.CheckUsers([]listener.User{user}); err != nil {
				return err
			}
			fmt.Fprintln(cmd.ErrOrStderr(), "Put this below users: in the part mqtt: of the configuration:")
			_, err = fmt.Fprintln(cmd.OutOrStdout(), userEntry(user))
			return err
		},
	}
	cmd.Flags().StringArrayVar(&publish, "publish", nil, "a topic filter that the user may publish to; may be repeated")
	cmd.Flags().StringArrayVar(&subscribe, "subscribe", nil, "a topic filter that the user may subscribe to; may be repeated")
	return cmd
}

// askPassword asks twice without echo at a terminal; elsewhere it reads a line.
func askPassword(in io.Reader, prompt io.Writer, user string) ([]byte, error) {
	file, ok := in.(*os.File)
	if !ok || !term.IsTerminal(int(file.Fd())) {
		line, err := bufio.NewReader(io.LimitReader(in, 4096)).ReadBytes('\n')
		if err != nil && err != io.EOF {
			return nil, fmt.Errorf("read the password: %w", err)
		}
		return bytes.TrimRight(line, "\r\n"), nil
	}
	var typed [2][]byte
	for i, text := range []string{"Password of " + user + ": ", "Again: "} {
		fmt.Fprint(prompt, text)
		var err error
		typed[i], err = term.ReadPassword(int(file.Fd()))
		fmt.Fprintln(prompt)
		if err != nil {
			return nil, fmt.Errorf("read the password: %w", err)
		}
	}
	if !bytes.Equal(typed[0], typed[1]) {
		return nil, errors.New("the passwords differ: try again")
	}
	return typed[0], nil
}

// userEntry is a user as the configuration file has it.
func userEntry(u listener.User) string {
	name := u.Name
	if !regexp.MustCompile(`^[a-zA-Z][a-zA-Z0-9_-]*$`).MatchString(name) || yamlWord(name) {
		name = quoted(name)
	}
	return fmt.Sprintf("    %s: {password_hash: %s, publish: %s, subscribe: %s}", name, quoted(u.PasswordHash), quotedList(u.Publish), quotedList(u.Subscribe))
}

// yamlWord says whether YAML takes a word for something else than text.
func yamlWord(s string) bool {
	switch strings.ToLower(s) {
	case "true", "false", "null", "yes", "no", "on", "off", "y", "n":
		return true
	}
	return false
}

// quoted is s as a text in quotes, in which $ stands for itself.
func quoted(s string) string {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	_ = e.Encode(s) // a text can always be encoded
	return strings.TrimSuffix(b.String(), "\n")
}

func quotedList(list []string) string {
	all := make([]string, len(list))
	for i, s := range list {
		all[i] = strings.ReplaceAll(quoted(s), "$", "$$") // $SYS, and not a variable
	}
	return "[" + strings.Join(all, ", ") + "]"
}
