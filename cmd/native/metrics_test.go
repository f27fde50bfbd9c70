//go:build !js

package main

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/mqttdb/mqttdb/internal/mosquitto"
)

// What a gateway does can be seen at /metrics: a message is committed, and delivered
// to a real broker.
func TestMetrics(t *testing.T) {
	broker := mosquitto.Start(t)
	config := writeConfig(t, fmt.Sprintf("connections:\n  cloud: {broker: \"mqtt://%s\", client_id: test}\n", broker.Addr()))
	startGateway(t, config)
	if code, _, stderr := command(t.Context(), "pub", "--config", config, "--wait", "delivered", "a/b", "hello"); code != 0 {
		t.Fatalf("pub: %d %s", code, stderr)
	}
	cfg, err := loadFile(config)
	if err != nil {
		t.Fatal(err)
	}
	res, err := http.Get("http://" + cfg.HTTP.Listen + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode != http.StatusOK {
		t.Fatalf("%s: %v", res.Status, err)
	}
	for _, line := range []string{
		`mqttdb_build_info{goversion="`,
		`mqttdb_connection_state{connection="cloud",state="online"} 1`,
		`mqttdb_queue_accepted_messages_total{connection="cloud",queue="outgoing"} 1`,
		`mqttdb_queue_sent_messages_total{connection="cloud",queue="outgoing"} 1`,
		`mqttdb_queue_commit_duration_seconds_count{connection="cloud",queue="outgoing"} 1`,
		`mqttdb_queue_delivery_duration_seconds_count{connection="cloud",queue="outgoing"} 1`,
		`mqttdb_queue_commit_duration_seconds_count{connection="_local",queue="outgoing"} 0`,
		`mqttdb_local_clients 0`,
	} {
		if !strings.Contains(string(text), "\n"+line) {
			t.Errorf("%s is missing", line)
		}
	}
	if t.Failed() {
		t.Logf("%s", text)
	}
}
