//go:build !js

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/mqttdb/mqttdb/config"
	"github.com/mqttdb/mqttdb/httpapi"
	"github.com/mqttdb/mqttdb/types"
)

// command runs a command line in the process and returns its exit status and
// what it printed.
func command(ctx context.Context, args ...string) (code int, stdout, stderr string) {
	var out, errs lockedBuffer
	code = runTo(ctx, args, strings.NewReader(""), &out, &errs)
	return code, out.String(), errs.String()
}

// lockedBuffer is a buffer that may be read while it is written.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func freeAddr(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// writeConfig writes a configuration with free ports and the given lines at its
// end, and returns its name.
func writeConfig(t *testing.T, lines string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "mqttdb.yaml")
	text := "data_dir: data\nmqtt: {listen: \"" + freeAddr(t) + "\"}\nhttp: {listen: \"" + freeAddr(t) + "\"}\n" + lines
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

const cloudConfig = `connections:
  cloud:
    broker: mqtt://127.0.0.1:1
    client_id: test
`

// startGateway runs serve until the test ends; it returns when the gateway
// answers.
func startGateway(t *testing.T, config string) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	var out, errs lockedBuffer
	code := 0
	go func() {
		defer close(ended)
		code = runTo(ctx, []string{"serve", "--config", config}, strings.NewReader(""), &out, &errs)
	}()
	t.Cleanup(func() {
		cancel()
		<-ended
		if code != 0 {
			t.Errorf("serve ended with %d: %s", code, errs.String())
		}
	})
	poll := time.NewTicker(10 * time.Millisecond)
	defer poll.Stop()
	for {
		select {
		case <-ended:
			t.Fatalf("serve ended with %d: %s", code, errs.String())
		case <-poll.C:
			if c, _, _ := command(t.Context(), "status", "--config", config); c == 0 {
				return
			}
		}
	}
}

func TestGateway(t *testing.T) {
	config := writeConfig(t, cloudConfig)
	startGateway(t, config)
	ctx := t.Context()

	// sub sees what pub publishes; pub returns when it is stored.
	listening, cancel := context.WithCancel(ctx)
	defer cancel()
	var heard lockedBuffer
	subscribed := make(chan int, 1)
	go func() {
		subscribed <- runTo(listening, []string{"sub", "--config", config, "-v", "--qos", "1", "a/#"}, strings.NewReader(""), &heard, os.Stderr)
	}()
	for published := 0; !strings.Contains(heard.String(), "a/b hello\n"); published++ {
		if published > 500 {
			t.Fatal("sub hears nothing")
		}
		if code, _, stderr := command(ctx, "pub", "--config", config, "a/b", "hello"); code != 0 {
			t.Fatalf("pub: %d %s", code, stderr)
		}
	}
	cancel()
	if code := <-subscribed; code != 0 {
		t.Errorf("sub ended with %d when it was interrupted", code)
	}

	if code, _, stderr := command(ctx, "pub", "--config", config, "--qos", "2", "--retain", "a/c", "x"); code != 0 {
		t.Errorf("pub --qos 2: %d %s", code, stderr)
	}
	code, stdout, stderr := command(ctx, "status", "--config", config, "--json")
	var statuses []types.Status
	if err := json.Unmarshal([]byte(stdout), &statuses); code != 0 || err != nil || len(statuses) != 2 || statuses[0].Outgoing.Pending < 2 || statuses[1].Name != "_local" {
		t.Fatalf("status --json: %d %s %s %v", code, stdout, stderr, err)
	}
	code, stdout, _ = command(ctx, "status", "--config", config)
	if code != 0 || !strings.Contains(stdout, "cloud") || !strings.Contains(stdout, "connection refused") {
		t.Errorf("status: %d %s", code, stdout)
	}

	code, stdout, _ = command(ctx, "messages", "--config", config, "cloud", "--limit", "1")
	if code != 0 || !strings.Contains(stdout, "a/b    hello") || !strings.Contains(stdout, "there may be more: --after 1") {
		t.Errorf("messages: %d %s", code, stdout)
	}
	code, stdout, _ = command(ctx, "messages", "--config", config, "cloud", "--after", "1", "--json")
	var messages []httpapi.Message
	if err := json.Unmarshal([]byte(stdout), &messages); code != 0 || err != nil || len(messages) == 0 || messages[0].Seq != 2 {
		t.Errorf("messages --json: %d %s %v", code, stdout, err)
	}
	if code, stdout, stderr = command(ctx, "messages", "--config", config, "cloud", "--remove", "1"); code != 0 || stdout != "message 1 is forgotten\n" {
		t.Errorf("messages --remove: %d %s %s", code, stdout, stderr)
	}
	if code, _, stderr = command(ctx, "messages", "--config", config, "cloud", "--requeue", "2"); code != 1 || !strings.Contains(stderr, "no dead letter has number 2") {
		t.Errorf("messages --requeue: %d %s", code, stderr)
	}
	if code, stdout, _ = command(ctx, "messages", "--config", config, "cloud", "--queue", "dead"); code != 0 || stdout != "no messages\n" {
		t.Errorf("messages --queue dead: %d %s", code, stdout)
	}
	if code, _, stderr = command(ctx, "messages", "--config", config, "cloud", "--queue", "daed"); code != 1 || !strings.Contains(stderr, "there are outgoing, dead, sent, incoming") {
		t.Errorf("messages --queue daed: %d %s", code, stderr)
	}
	if code, _, stderr = command(ctx, "messages", "--config", config, "cloud", "--remove", "x"); code != 2 {
		t.Errorf("messages --remove x: %d %s", code, stderr)
	}

	if code, _, stderr = command(ctx, "clear", "--config", config, "cloud", "--queue", "nix"); code != 1 || !strings.Contains(stderr, "no queue \"nix\"") {
		t.Fatalf("clear of a queue that is not there: exit %d: %q", code, stderr)
	}
	if code, _, stderr = command(ctx, "clear", "--config", config, "cloud"); code != 1 || !strings.Contains(stderr, "--yes") {
		t.Errorf("clear without being asked: %d %s", code, stderr)
	}
	if code, stdout, _ = command(ctx, "clear", "--config", config, "cloud", "--yes", "--topic", "a/c"); code != 0 || stdout != "cleared 1 messages of cloud\n" {
		t.Errorf("clear --topic: %d %s", code, stdout)
	}
	if code, _, stderr = command(ctx, "clear", "--config", config, "cloud", "--yes", "--older-than", "5"); code != 1 || !strings.Contains(stderr, "older_than") {
		t.Errorf("clear --older-than 5: %d %s", code, stderr)
	}
	if code, _, stderr = command(ctx, "clear", "--config", config, "moon", "--yes"); code != 1 || !strings.Contains(stderr, "no such connection (mqttdb status") {
		t.Errorf("clear moon: %d %s", code, stderr)
	}
	if code, stdout, _ = command(ctx, "clear", "--config", config, "cloud", "--yes"); code != 0 || !strings.Contains(stdout, "cleared ") {
		t.Errorf("clear: %d %s", code, stdout)
	}

	// A second gateway on the same data or the same ports is refused.
	if code, _, stderr = command(ctx, "serve", "--config", config, "--listen", freeAddr(t), "--http", freeAddr(t)); code != 1 || !strings.Contains(stderr, "in use by another process") {
		t.Errorf("second gateway on the data: %d %s", code, stderr)
	}
}

func TestErrors(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	config := writeConfig(t, cloudConfig) // with other ports
	bad := writeConfig(t, "connections:\n  cloud:\n    brokr: mqtt://h\n")
	for _, c := range []struct {
		name string
		args []string
		code int
		says string
	}{
		{"unknown command", []string{"serv"}, 2, "serve"},
		{"unknown flag", []string{"serve", "--colour"}, 2, "mqttdb serve --help"},
		{"too many arguments", []string{"status", "now"}, 2, `takes no "now"`},
		{"too few arguments", []string{"clear"}, 2, "CONNECTION"},
		{"unknown key", []string{"check", bad}, 1, `mqttdb.yaml:6:5: connections.cloud.brokr: unknown key; did you mean "broker"?`},
		{"no file", []string{"check", "/nowhere/x.yaml"}, 1, "/nowhere/x.yaml"},
		{"no gateway", []string{"status", "--config", config}, 1, "is it running (mqttdb serve)"},
		{"no local broker", []string{"pub", "--config", config, "a", "b"}, 1, "is the gateway running"},
		{"wildcard", []string{"pub", "--config", config, "a/#", "b"}, 1, "invalid topic"},
		{"bad filter", []string{"sub", "--config", config, "a#"}, 2, "invalid topic"},
		{"bad QoS", []string{"sub", "--config", config, "--qos", "3", "a"}, 2, "0, 1 or 2"},
		{"bad level", []string{"serve", "--config", config, "--log", "loud"}, 2, "debug, info"},
		{"MQTT port taken", []string{"serve", "--config", config, "--listen", taken.Addr().String()}, 1, "another program has this port: stop it, or set mqtt.listen"},
		{"forwards to itself", []string{"serve", "--config", config, "--listen", "127.0.0.1:1"}, 1, "connections.cloud.broker: is mqtt.listen of this gateway itself"},
		{"HTTP port taken", []string{"serve", "--config", config, "--http", taken.Addr().String()}, 1, taken.Addr().String() + ": bind: address already in use"},
	} {
		t.Run(c.name, func(t *testing.T) {
			code, _, stderr := command(t.Context(), c.args...)
			if code != c.code || !strings.Contains(stderr, c.says) {
				t.Errorf("exit %d, stderr %q; want %d and %q", code, stderr, c.code, c.says)
			}
			lines := strings.Split(strings.TrimSuffix(stderr, "\n"), "\n")
			if !strings.HasPrefix(lines[len(lines)-1], "mqttdb: ") {
				t.Errorf("the last line does not say whose it is: %q", stderr)
			}
		})
	}
}

// What a connection needs may come later, so that it is no error; but it is said.
func TestCheckWarnsOfMissingFiles(t *testing.T) {
	config := writeConfig(t, "connections:\n  cloud: {broker: \"mqtts://h\", username: u, password_file: pw, tls: {ca_file: ca.pem}}\n")
	t.Setenv("MQTTDB_BROKER", "mqtt://elsewhere")
	code, stdout, stderr := command(t.Context(), "check", config)
	for _, want := range []string{
		"warning: connections.cloud.password_file: open ", "warning: connections.cloud.tls.ca_file: open ",
		"MQTTDB_BROKER is set, too, but a file goes before it",
	} {
		if code != 0 || !strings.Contains(stdout, want) {
			t.Errorf("exit %d, %q, %q; want %q", code, stdout, stderr, want)
		}
	}
}

func TestVersion(t *testing.T) {
	if code, stdout, _ := command(t.Context(), "version"); code != 0 || stdout != "mqttdb devel\n" {
		t.Errorf("%d %q", code, stdout)
	}
	if _, stdout, _ := command(t.Context(), "version", "--licenses"); !strings.Contains(stdout, "nutsdb") {
		t.Error("the licences do not name NutsDB")
	}
}

// A gateway whose port is taken, as by the mosquitto that it is to replace, leaves
// its data and its brokers alone, however often it is started.
func TestPortTakenComesFirst(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	for _, flag := range []string{"--listen", "--http"} {
		config := writeConfig(t, cloudConfig)
		code, _, stderr := command(t.Context(), "serve", "--config", config, flag, taken.Addr().String())
		if code != 1 || strings.Count(stderr, "\n") != 1 {
			t.Errorf("%s: exit %d, %q; want one line", flag, code, stderr)
		}
		if _, err := os.Stat(filepath.Join(filepath.Dir(config), "data")); !os.IsNotExist(err) {
			t.Errorf("%s: there is a data directory: %v", flag, err)
		}
	}
}

// The port of a gateway that was killed a moment ago may be in use still.
func TestPortThatIsLetGo(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	time.AfterFunc(dyingTime/10, func() { taken.Close() })
	c := config.Config{MQTT: config.MQTT{Listener: config.Listener{Listen: "127.0.0.1:0"}}, HTTP: config.HTTP{Listen: taken.Addr().String()}}
	bound, err := bind(t.Context(), &c, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	bound.close()
}
