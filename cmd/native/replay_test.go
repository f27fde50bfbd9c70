//go:build !js

package main

import (
	"fmt"
	"strings"
	"testing"

	"github.com/mqttdb/mqttdb/internal/mosquitto"
)

func TestReplay(t *testing.T) {
	broker := mosquitto.Start(t)
	config := writeConfig(t, strings.NewReplacer("127.0.0.1:1\n", broker.Addr()+"\n", "client_id: test", "client_id: test\n    keep_sent: 1h").Replace(cloudConfig))
	startGateway(t, config)
	ctx := t.Context()
	run := func(args ...string) (int, string) {
		t.Helper()
		code, stdout, stderr := command(ctx, append(args, "--config", config)...)
		return code, stdout + stderr
	}
	for i := range 5 {
		if code, says := run("pub", fmt.Sprint([]string{"a", "b"}[i%2], "/", i), fmt.Sprint("payload ", i), "--wait", "delivered"); code != 0 {
			t.Fatal(says)
		}
	}
	for _, c := range []struct {
		name string
		args []string
		code int
		says string
	}{
		{"shown", []string{"messages", "cloud", "--queue", "sent"}, 0, "payload 4"},
		{"in the status", []string{"status"}, 0, "5 messages that were sent are kept"},
		{"which", []string{"replay", "cloud"}, 2, "--since, --from, --topic or --all"},
		{"all and some", []string{"replay", "cloud", "--all", "--topic", "a/#"}, 2, "--all is more"},
		{"whose", []string{"replay", "moon", "--all"}, 1, "no such connection"},
		{"of what topic", []string{"replay", "cloud", "--topic", "a#"}, 1, "invalid topic"},
		{"since when", []string{"replay", "cloud", "--since", "yesterday"}, 1, "duration"},
		{"counted", []string{"replay", "cloud", "--since", "20m", "--dry-run"}, 0, "5 messages of cloud would be sent again\n"},
		{"asked", []string{"replay", "cloud", "--since", "20m"}, 1, "this sends 5 messages again: say --yes"},
		{"some", []string{"replay", "cloud", "--topic", "a/#", "--yes"}, 0, "3 messages of cloud are sent again\n"},
		{"drained", []string{"drain", "cloud"}, 0, ""},
		{"the rest", []string{"replay", "cloud", "--all", "--yes"}, 0, "2 messages of cloud are sent again; 3 were replayed before, and are left out"},
		{"drained again", []string{"drain", "cloud"}, 0, ""},
		{"nothing left", []string{"replay", "cloud", "--all", "--yes"}, 0, "0 messages of cloud would be sent again; 5 were replayed before"},
		{"from a number, again", []string{"replay", "cloud", "--from", "9", "--again", "--yes"}, 0, "2 messages of cloud are sent again\n"},
		{"cleared", []string{"clear", "cloud", "--queue", "sent", "--yes"}, 0, "cleared "},
		{"nothing kept", []string{"replay", "cloud", "--all", "--dry-run"}, 0, "0 messages"},
	} {
		if code, says := run(c.args...); code != c.code || !strings.Contains(says, c.says) {
			t.Errorf("%s: %d %s", c.name, code, says)
		}
	}
}

// Where nothing is kept a replay says what to do about that.
func TestReplayOfNothing(t *testing.T) {
	config := writeConfig(t, cloudConfig)
	startGateway(t, config)
	if code, _, stderr := command(t.Context(), "replay", "cloud", "--all", "--config", config); code != 1 || !strings.Contains(stderr, "set keep_sent") {
		t.Errorf("%d %s", code, stderr)
	}
}
