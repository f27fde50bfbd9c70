//go:build !js

package main

import (
	"os"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/mqttdb/mqttdb/internal/mosquitto"
	"github.com/mqttdb/mqttdb/listener"
)

// eventually runs a command until it prints what is wanted.
func eventually(t *testing.T, want string, args ...string) {
	t.Helper()
	deadline := time.NewTimer(20 * time.Second)
	defer deadline.Stop()
	poll := time.NewTicker(10 * time.Millisecond)
	defer poll.Stop()
	for {
		_, stdout, stderr := command(t.Context(), args...)
		if strings.Contains(stdout, want) {
			return
		}
		select {
		case <-deadline.C:
			t.Fatalf("%v never printed %q: %s%s", args, want, stdout, stderr)
		case <-poll.C:
		}
	}
}

func rewrite(t *testing.T, file, old, new string) {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(text), old) {
		t.Fatalf("%s lacks %q", file, old)
	}
	if err := os.WriteFile(file, []byte(strings.Replace(string(text), old, new, 1)), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestReloadCommand(t *testing.T) {
	config := writeConfig(t, cloudConfig)
	startGateway(t, config)
	ctx := t.Context()
	if code, stdout, stderr := command(ctx, "reload", "--config", config); code != 0 || stdout != "nothing changed\n" {
		t.Errorf("%d %s%s", code, stdout, stderr)
	}
	rewrite(t, config, "client_id: test\n", "client_id: test\n    window: 7\n  more: {broker: \"mqtt://127.0.0.1:1\"}\n")
	if code, stdout, stderr := command(ctx, "reload", "--config", config); code != 0 || stdout != "added more; changed cloud; settings: connections.cloud.window\n" {
		t.Errorf("%d %s%s", code, stdout, stderr)
	}

	// Users are nobody's settings; their secrets are not told.
	hash, err := listener.HashPassword([]byte("secret"))
	if err != nil {
		t.Fatal(err)
	}
	rewrite(t, config, "mqtt: {", "mqtt: {users: {ann: {password_hash: \""+strings.ReplaceAll(hash, "$", "$$")+"\", publish: [a, b]}}, ")
	if code, stdout, stderr := command(ctx, "reload", "--config", config); code != 0 || stdout != "settings: mqtt.users.ann\n" {
		t.Errorf("%d %s%s", code, stdout, stderr)
	}

	// What is wrong changes nothing, and everybody is told.
	rewrite(t, config, "window: 7", "windo: 8")
	code, _, stderr := command(ctx, "reload", "--config", config)
	if code != 1 || !strings.Contains(stderr, `did you mean "window"?`) {
		t.Errorf("%d %s", code, stderr)
	}
	// The command reads the configuration only to find the gateway, and not even
	// that works any more; the gateway itself shall say it too.
	rewrite(t, config, "windo: 8", "window: 7")
	rewrite(t, config, "data_dir: data", "data_dir: elsewhere")
	if code, _, stderr = command(ctx, "reload", "--config", config); code != 1 || !strings.Contains(stderr, "data_dir: cannot be changed while mqttdb runs") {
		t.Errorf("%d %s", code, stderr)
	}
	if code, stdout, _ := command(ctx, "status", "--config", config); code != 0 || !strings.Contains(stdout, "is not used: data_dir: cannot be changed") {
		t.Errorf("%d %s", code, stdout)
	}
	rewrite(t, config, "data_dir: elsewhere", "data_dir: data")

	// A signal does the same. A message keeps what is removed in sight.
	if code, _, stderr = command(ctx, "pub", "--config", config, "a", "b"); code != 0 {
		t.Fatal(stderr)
	}
	rewrite(t, config, "  more: {broker: \"mqtt://127.0.0.1:1\"}\n", "")
	if err := syscall.Kill(os.Getpid(), syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	eventually(t, "orphan", "status", "--config", config)

	// That is cleared whole, or not at all.
	if code, _, stderr = command(ctx, "clear", "more", "--topic", "a", "--yes", "--config", config); code != 1 || !strings.Contains(stderr, "can only be cleared whole") {
		t.Errorf("%d %s", code, stderr)
	}
	if code, stdout, stderr := command(ctx, "clear", "more", "--yes", "--config", config); code != 0 || stdout != "cleared 1 messages of more\n" {
		t.Errorf("%d %s%s", code, stdout, stderr)
	}
	if _, stdout, _ := command(ctx, "status", "--config", config); strings.Contains(stdout, "orphan") {
		t.Errorf("it is there still: %s", stdout)
	}
}

func TestDrainCommand(t *testing.T) {
	config := writeConfig(t, cloudConfig)
	startGateway(t, config)
	ctx := t.Context()
	if code, stdout, stderr := command(ctx, "drain", "--config", config); code != 0 || stdout != "nothing is pending\n" {
		t.Errorf("%d %s%s", code, stdout, stderr)
	}
	if code, _, stderr := command(ctx, "pub", "--config", config, "a", "b"); code != 0 {
		t.Fatal(stderr)
	}
	for _, args := range [][]string{{"drain"}, {"drain", "cloud"}} {
		code, _, stderr := command(ctx, append(args, "--config", config, "--timeout", "50ms")...)
		if code != 1 || !strings.Contains(stderr, "after 50ms 1 messages are left: 1 of cloud (") || !strings.Contains(stderr, "connection refused") {
			t.Errorf("%v: %d %s", args, code, stderr)
		}
	}
	if code, _, stderr := command(ctx, "drain", "moon", "--config", config); code != 1 || !strings.Contains(stderr, "no such connection") {
		t.Errorf("%d %s", code, stderr)
	}
	if code, _, stderr := command(ctx, "clear", "cloud", "--yes", "--config", config); code != 0 {
		t.Fatal(stderr)
	}
	if code, _, stderr := command(ctx, "drain", "cloud", "--config", config); code != 0 {
		t.Errorf("%d %s", code, stderr)
	}
}

// A URL suffices; it goes before the environment, and has no file beside it.
func TestServeURL(t *testing.T) {
	t.Setenv("MQTTDB_BROKER", "mqtt://127.0.0.1:2")
	t.Setenv("MQTTDB_DATA_DIR", t.TempDir())
	t.Chdir(t.TempDir())
	for _, c := range []struct {
		name string
		args []string
		code int
		says string
	}{
		{"no URL", []string{"broker.example.com"}, 2, "the URL is not a URL; write it like mqtt://host:1883"},
		{"with a file", []string{"mqtt://h", "--config", "x.yaml"}, 2, "exclude each other"},
		{"two", []string{"mqtt://a", "mqtt://b"}, 2, "at most the URL of one broker"},
		{"the demo", []string{"mqtt://a", "--demo"}, 2, "set MQTTDB_BROKER"},
		{"itself", []string{"mqtt://127.0.0.1:7", "--listen", "127.0.0.1:7"}, 1, "is mqtt.listen of this gateway itself"},
	} {
		t.Run(c.name, func(t *testing.T) {
			code, _, stderr := command(t.Context(), append([]string{"serve"}, c.args...)...)
			if code != c.code || !strings.Contains(stderr, c.says) {
				t.Errorf("%d %s, want %s", code, stderr, c.says)
			}
		})
	}
	if err := os.WriteFile("mqttdb.yaml", []byte("connections: {other: {broker: \"mqtt://127.0.0.1:3\"}}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	read, err := (&options{}).broker("mqtt://127.0.0.1:1")
	if err != nil {
		t.Fatal(err)
	}
	cfg, from, err := read()
	if err != nil || len(cfg.Connections) != 1 || cfg.Connections[0].Broker != "mqtt://127.0.0.1:1" || !strings.Contains(from, "mqttdb.yaml is there, too") {
		t.Errorf("%v %v %v", cfg, from, err)
	}
}

func TestPubWait(t *testing.T) {
	broker := mosquitto.Start(t)
	config := writeConfig(t, "connections:\n  cloud: {broker: \"mqtt://"+broker.Addr()+"\", forward: [{topic: \"a/#\"}]}\n  gone: {broker: \"mqtt://127.0.0.1:1\", forward: [{topic: \"b\"}]}\n")
	startGateway(t, config)
	for _, c := range []struct {
		name string
		args []string
		code int
		says string
	}{
		{"delivered", []string{"--wait", "delivered", "a/b", "x"}, 0, ""},
		{"delivered at QoS 0", []string{"--wait", "delivered", "--qos", "0", "a/b", "x"}, 0, ""},
		{"stored", []string{"--wait", "stored", "b", "x"}, 0, ""},
		{"not delivered", []string{"--wait", "delivered", "--timeout", "50ms", "b", "x"}, 1, "stored, and not delivered within 50ms"},
		{"nobody", []string{"--wait", "delivered", "c", "x"}, 1, "no connection forwards \"c\""},
		{"what", []string{"--wait", "long", "c", "x"}, 2, "stored or delivered"},
	} {
		t.Run(c.name, func(t *testing.T) {
			code, _, stderr := command(t.Context(), append([]string{"pub", "--config", config}, c.args...)...)
			if code != c.code || !strings.Contains(stderr, c.says) {
				t.Errorf("%d %s, want %d %s", code, stderr, c.code, c.says)
			}
		})
	}
	if code, stdout, _ := command(t.Context(), "status", "--config", config); code != 0 || !regexp.MustCompile(`(?m)^cloud +online +0 .*\n^gone .* 2 `).MatchString(stdout) {
		t.Errorf("%s", stdout)
	}
}
