//go:build !js

package main

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/mqttdb/mqttdb/config/yaml"
)

// passwd is the entry of a user.
func passwd(t *testing.T, args ...string) string {
	t.Helper()
	root := newRoot()
	var out bytes.Buffer
	root.SetIn(strings.NewReader("secret\n"))
	root.SetOut(&out)
	root.SetErr(&bytes.Buffer{})
	root.SetArgs(append([]string{"passwd"}, args...))
	if err := root.ExecuteContext(context.Background()); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

// publishAs publishes with a client that is not ours, and returns what it says.
func publishAs(addr, user, topic string) (string, error) {
	host, port, _ := strings.Cut(addr, ":")
	out, err := exec.Command("mosquitto_pub", "-h", host, "-p", port, "-V", "5", "-u", user, "-P", "secret", "-q", "1", "-t", topic, "-m", "x", "-d").CombinedOutput()
	return string(out), err
}

// What passwd prints lets in by the rules that it says, a reload changes them,
// and the status tells what was refused.
func TestUsersOfAGateway(t *testing.T) {
	addr := freeAddr(t)
	config := writeConfig(t, cloudConfig)
	entry := passwd(t, "sensor", "--publish", "sensors/#")
	text, err := os.ReadFile(config)
	if err != nil {
		t.Fatal(err)
	}
	own, err := yaml.Parse(config, text, os.LookupEnv)
	if err != nil {
		t.Fatal(err)
	}
	rewrite(t, config, `mqtt: {listen: "`+own.MQTT.Listen+`"}`, "mqtt:\n  listen: "+addr+"\n  users:\n"+strings.TrimSuffix(entry, "\n"))
	startGateway(t, config)
	if out, err := publishAs(addr, "sensor", "sensors/1"); err != nil || !strings.Contains(out, "RC:0") {
		t.Errorf("%v: %s", err, out)
	}
	if out, _ := publishAs(addr, "sensor", "cmd/1"); !strings.Contains(out, "RC:135") {
		t.Errorf("a topic that is not allowed: %s", out)
	}
	if out, err := publishAs(addr, "stranger", "sensors/1"); err == nil {
		t.Errorf("a stranger is let in: %s", out)
	}
	eventually(t, "1 messages of local clients were refused since the start: not_allowed", "status", "--config", config)
	eventually(t, "1 local clients were not let in", "status", "--config", config)

	rewrite(t, config, entry, passwd(t, "stranger", "--publish", "cmd/#"))
	if code, _, stderr := command(t.Context(), "reload", "--config", config); code != 0 {
		t.Fatal(stderr)
	}
	if out, err := publishAs(addr, "stranger", "cmd/1"); err != nil || !strings.Contains(out, "RC:0") {
		t.Errorf("%v: %s", err, out)
	}
	if out, err := publishAs(addr, "sensor", "sensors/1"); err == nil {
		t.Errorf("who is not there any more is let in: %s", out)
	}
}
