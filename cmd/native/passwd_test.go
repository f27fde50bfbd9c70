//go:build !js

package main

import (
	"bytes"
	"context"
	"os"
	"slices"
	"strings"
	"testing"

	"golang.org/x/crypto/bcrypt"

	"github.com/mqttdb/mqttdb/config/yaml"
)

// What passwd prints is what the configuration takes, whatever the user is
// called and may do.
func TestPasswd(t *testing.T) {
	tests := []struct {
		name, user, input string
		flags             []string
		fails             string
		publish           []string
		subscribe         []string
	}{
		{name: "plain", user: "sensor", input: "secret\n", flags: []string{"--publish", "sensors/#", "--subscribe", "$SYS/#", "--subscribe", `a"b`},
			publish: []string{"sensors/#"}, subscribe: []string{"$SYS/#", `a"b`}},
		{name: "no end of line", user: "sensor", input: "secret"},
		{name: "odd names", user: `yes: "#' {x}`, input: "secret\r\n"},
		{name: "a YAML word", user: "true", input: "secret\n"},
		{name: "a number", user: "12", input: "secret\n"},
		{name: "${HOME} as a filter", user: "u", input: "secret\n", flags: []string{"--publish", "${HOME}"}, publish: []string{"${HOME}"}},
		{name: "empty", user: "u", input: "\n", fails: "an empty password"},
		{name: "nothing", user: "u", input: "", fails: "an empty password"},
		{name: "too long", user: "u", input: strings.Repeat("x", 73) + "\n", fails: "at most 72"},
		{name: "no name", user: "", input: "x\n", fails: "without a name"},
		{name: "bad filter", user: "u", input: "x\n", flags: []string{"--publish", "a/#/b"}, fails: "#"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			root := newRoot()
			var out, notes bytes.Buffer
			root.SetIn(strings.NewReader(test.input))
			root.SetOut(&out)
			root.SetErr(&notes)
			root.SetArgs(append([]string{"passwd", test.user}, test.flags...))
			err := root.ExecuteContext(context.Background())
			if test.fails != "" {
				if err == nil || !strings.Contains(err.Error(), test.fails) || out.Len() > 0 {
					t.Errorf("%v, printed %q", err, out.String())
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if strings.Contains(out.String()+notes.String(), "secret") {
				t.Error("the password is printed")
			}
			cfg, err := yaml.Parse("x.yaml", []byte("mqtt:\n  users:\n"+out.String()), os.LookupEnv)
			if err != nil {
				t.Fatalf("%v\n%s", err, out.String())
			}
			u := cfg.MQTT.Users[0]
			if u.Name != test.user || !slices.Equal(u.Publish, test.publish) || !slices.Equal(u.Subscribe, test.subscribe) {
				t.Errorf("read as %q %q %q from %s", u.Name, u.Publish, u.Subscribe, out.String())
			}
			if err := bcrypt.CompareHashAndPassword([]byte(u.PasswordHash.Reveal()), []byte("secret")); err != nil {
				t.Error(err)
			}
		})
	}
}
