//go:build !js

package main

import (
	"regexp"
	"strings"
	"testing"

	"github.com/mqttdb/mqttdb/internal/mosquitto"
)

// The routes are printed as a table, and behind it what may not be expected.
func TestCheck(t *testing.T) {
	config := writeConfig(t, cloudConfig+`    retain: clear
    forward:
      - {topic: "sensors/#", remote_prefix: "site1/", envelope: json}
      - {topic: "sensors/a", qos: 1}
      - {topic: "#", local_prefix: "plant/", remote_prefix: "plant/", relay: true}
    subscribe:
      - {topic: "cmd/#", qos: 1, local_prefix: "cloud/"}
  plant:
    broker: mqtt://127.0.0.1:2
    bridge: true
    forward: [{topic: "shared/#", qos: 0}]
    subscribe:
      - {topic: "shared/#"}
      - {topic: "#", remote_prefix: "up/", local_prefix: "plant/", retain: clear}
`)
	code, stdout, stderr := command(t.Context(), "check", config)
	if code != 0 {
		t.Fatalf("exit %d, %q", code, stderr)
	}
	text := regexp.MustCompile(` {2,}`).ReplaceAllString(stdout, " | ")
	for _, want := range []string{
		"no errors",
		"CONNECTION | TOPICS HERE | TOPICS AT THE BROKER | QOS | FLAGS | BROKER",
		"cloud | sensors/# | → | site1/sensors/# | keep, at most 2 | envelope json, retain cleared | mqtt://127.0.0.1:1",
		"cloud | plant/# | → | plant/# | keep, at most 2 | relay, retain cleared | mqtt://127.0.0.1:1",
		"cloud | cloud/cmd/# | ← | cmd/# | at most 1",
		"plant | shared/# | → | shared/# | 0 | bridge | mqtt://127.0.0.1:2",
		"plant | plant/# | ← | up/# | at most 1 | retain cleared, bridge | mqtt://127.0.0.1:2",
		"warning: connections.cloud.forward[1]: is never used: forward[0] selects all of its topics",
		"warning: connections.cloud.retain: is clear",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is missing in\n%s", want, text)
		}
	}
}

// --connect tries each broker, says why one refuses, and leaves a gateway that
// runs alone.
func TestCheckConnect(t *testing.T) {
	open, closed := mosquitto.Start(t), mosquitto.Start(t, mosquitto.WithUser("gw", "right"))
	good := writeConfig(t, "connections:\n  cloud: {broker: \"mqtt://"+open.Addr()+"\", client_id: gw}\n")
	code, stdout, stderr := command(t.Context(), "check", "--connect", good)
	if code != 0 || !strings.Contains(stdout, "cloud: connected\n") {
		t.Errorf("exit %d, %q, %q", code, stdout, stderr)
	}
	bad := writeConfig(t, "connections:\n  cloud: {broker: \"mqtt://"+open.Addr()+"\"}\n  secret: {broker: \"mqtt://"+closed.Addr()+"\"}\n  gone: {broker: \"mqtt://127.0.0.1:1\"}\n")
	code, stdout, stderr = command(t.Context(), "check", "--connect", bad)
	for _, want := range []string{
		"cloud: connected\n",
		"secret: mqtt://" + closed.Addr() + ": the broker says that this client is not authorized (check username and password_file",
		"it was tried as client mqttdb-check-",
		"gone: mqtt://127.0.0.1:1: connect to 127.0.0.1:1: connection refused (nothing listens there",
	} {
		if !strings.Contains(stdout, want) {
			t.Errorf("%q is missing in\n%s", want, stdout)
		}
	}
	if code != 1 || !strings.Contains(stderr, "2 of 3 connections cannot be made") {
		t.Errorf("exit %d, %q", code, stderr)
	}
	open.Stop() // then its log is whole
	if log := open.Log(); !strings.Contains(log, "as mqttdb-check-") || strings.Contains(log, "as gw ") {
		t.Errorf("the broker saw\n%s", log)
	}
}
