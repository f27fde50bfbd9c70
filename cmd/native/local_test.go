//go:build !js

package main

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/mqttdb/mqttdb/config"
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
	file := writeConfig(t, cloudConfig)
	entry := passwd(t, "sensor", "--publish", "sensors/#")
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	own, err := yaml.Parse(file, text, os.LookupEnv)
	if err != nil {
		t.Fatal(err)
	}
	rewrite(t, file, `mqtt: {listen: "`+own.MQTT.Listen+`"}`, "mqtt:\n  listen: "+addr+"\n  users:\n"+strings.TrimSuffix(entry, "\n"))
	startGateway(t, file)
	if out, err := publishAs(addr, "sensor", "sensors/1"); err != nil || !strings.Contains(out, "RC:0") {
		t.Errorf("%v: %s", err, out)
	}
	if out, _ := publishAs(addr, "sensor", "cmd/1"); !strings.Contains(out, "RC:135") {
		t.Errorf("a topic that is not allowed: %s", out)
	}
	if out, err := publishAs(addr, "stranger", "sensors/1"); err == nil {
		t.Errorf("a stranger is let in: %s", out)
	}
	eventually(t, "1 messages of local clients were refused since the start: not_allowed", "status", "--config", file)
	eventually(t, "1 connections of local clients were not let in", "status", "--config", file)

	rewrite(t, file, entry, passwd(t, "stranger", "--publish", "cmd/#"))
	if code, _, stderr := command(t.Context(), "reload", "--config", file); code != 0 {
		t.Fatal(stderr)
	}
	if out, err := publishAs(addr, "stranger", "cmd/1"); err != nil || !strings.Contains(out, "RC:0") {
		t.Errorf("%v: %s", err, out)
	}
	if out, err := publishAs(addr, "sensor", "sensors/1"); err == nil {
		t.Errorf("who is not there any more is let in: %s", out)
	}
}

// pub and sub take the address that lets them in.
func TestPlainAddress(t *testing.T) {
	secure := config.ServerTLS{CertFile: "c", KeyFile: "k"}
	for _, test := range []struct {
		name      string
		listeners []config.Listener
		want      string
	}{
		{"loopback", []config.Listener{{Listen: "127.0.0.1:1883"}}, "127.0.0.1:1883"},
		{"TLS first", []config.Listener{{Listen: "127.0.0.1:8883", TLS: secure}, {Listen: "localhost:1"}}, "localhost:1"},
		{"users first", []config.Listener{{Listen: "0.0.0.0:1883"}, {Listen: "127.0.0.1:2"}}, "127.0.0.1:2"},
		{"open to all", []config.Listener{{Listen: "0.0.0.0:1883", AllowAnonymous: true}}, "0.0.0.0:1883"},
		{"WebSocket only", []config.Listener{{Listen: "0.0.0.0:1883", WebSocket: "127.0.0.1:9001"}}, ""},
	} {
		got, err := plainAddress(&config.MQTT{Listener: test.listeners[0], Listeners: test.listeners[1:]})
		if got != test.want || (err == nil) != (test.want != "") {
			t.Errorf("%s: %q, %v", test.name, got, err)
		}
	}
}
