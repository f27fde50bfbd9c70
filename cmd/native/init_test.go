//go:build !js

package main

import (
	"os"
	"strings"
	"testing"
)

func TestInit(t *testing.T) {
	t.Chdir(t.TempDir())
	ctx := t.Context()
	if code, stdout, stderr := command(ctx, "init"); code != 0 || !strings.Contains(stdout, "wrote mqttdb.yaml") {
		t.Fatalf("%d %s%s", code, stdout, stderr)
	}
	if code, stdout, stderr := command(ctx, "check"); code != 0 || !strings.Contains(stdout, "configuration from mqttdb.yaml: no errors") {
		t.Errorf("%d %s%s", code, stdout, stderr)
	}
	if code, _, stderr := command(ctx, "init"); code != 1 || !strings.Contains(stderr, "mqttdb.yaml is there already and is not overwritten") {
		t.Errorf("%d %s", code, stderr)
	}
	code, _, stderr := command(ctx, "init", "--broker", "mqtts://b.example.com", "--username", "gw$1", "--password-file", "pw", "--name", "hub", "--data-dir", "/var/lib/mqttdb", "two.yaml")
	if code != 0 {
		t.Fatal(stderr)
	}
	cfg, err := loadFile("two.yaml")
	if err != nil || len(cfg.Connections) != 1 || cfg.Connections[0].Name != "hub" || cfg.Connections[0].Broker != "mqtts://b.example.com" || cfg.Connections[0].Username != "gw$1" || cfg.DataDir != "/var/lib/mqttdb" {
		t.Errorf("%v %v", cfg, err)
	}
	for _, c := range []struct {
		name string
		args []string
		code int
		says string
	}{
		{"no URL", []string{"--broker", "b.example.com", "x.yaml"}, 2, "--broker is not a URL"},
		{"no broker", []string{"--username", "u", "x.yaml"}, 2, "need --broker"},
		{"both", []string{"--from", "a", "--broker", "mqtt://b", "x.yaml"}, 2, "exclude each other"},
		{"no file to take over", []string{"--from", "nothing.conf", "x.yaml"}, 1, "nothing.conf"},
		{"bad name", []string{"--name", "Hub!", "x.yaml"}, 2, "--name"},
		{"no such directory", []string{"no/where.yaml"}, 1, "no/where.yaml"},
	} {
		t.Run(c.name, func(t *testing.T) {
			code, _, stderr := command(ctx, append([]string{"init"}, c.args...)...)
			if code != c.code || !strings.Contains(stderr, c.says) {
				t.Errorf("%d %s, want %s", code, stderr, c.says)
			}
			if _, err := os.Stat("x.yaml"); err == nil {
				t.Error("a file was written all the same")
			}
		})
	}
}

func TestInitFromMosquitto(t *testing.T) {
	t.Chdir(t.TempDir())
	ctx := t.Context()
	conf := "connection cloud\naddress broker.example.com\nremote_username me\nremote_password geheim\ntopic sensors/# out 1\nlazy_something 1\n"
	if err := os.WriteFile("mosquitto.conf", []byte(conf), 0o600); err != nil {
		t.Fatal(err)
	}
	code, _, stderr := command(ctx, "init", "--from", "mosquitto.conf")
	if code != 0 || !strings.Contains(stderr, "mosquitto.conf:6: lazy_something 1: nothing here does that") {
		t.Errorf("%d %s", code, stderr)
	}
	if info, err := os.Stat("cloud.pw"); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v %v", info, err)
	}
	if text, _ := os.ReadFile("cloud.pw"); string(text) != "geheim\n" {
		t.Errorf("%q", text)
	}
	if code, stdout, stderr := command(ctx, "check"); code != 0 || !strings.Contains(stdout, "sensors/#") {
		t.Errorf("%d %s%s", code, stdout, stderr)
	}
	// A secret that is there keeps everything from being written.
	if code, _, stderr := command(ctx, "init", "--from", "mosquitto.conf", "other.yaml"); code != 1 || !strings.Contains(stderr, "cloud.pw is there already") {
		t.Errorf("%d %s", code, stderr)
	}
	if _, err := os.Stat("other.yaml"); err == nil {
		t.Error("the configuration was written without its secret")
	}
}
