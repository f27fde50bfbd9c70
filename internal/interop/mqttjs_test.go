//go:build unix

package interop

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// javascript is a program of ours that node runs.
func javascript(t testing.TB, args ...string) (*exec.Cmd, *output) {
	t.Helper()
	cmd := exec.Command(programs.node, args...)
	cmd.Env = append(os.Environ(), "NODE_PATH="+programs.modules)
	cmd.SysProcAttr = orphanless()
	out := &output{}
	cmd.Stdout, cmd.Stderr = out, out
	return cmd, out
}

// mqttJS starts a program that uses mqtt.js, see clients/mqttjs.js.
func mqttJS(t testing.TB, g *gateway, behaviour string, version int) (*exec.Cmd, *output) {
	t.Helper()
	return javascript(t, filepath.Join("clients", "mqttjs.js"), behaviour, "mqtt://"+g.addr, fmt.Sprint(version))
}

func TestMQTTJS(t *testing.T) {
	g := startGateway(t)
	tests := []struct {
		behaviour string
		since     int // the first version that has it
	}{
		{"payloads", 3},
		{"order", 3},
		{"retained", 3},
		{"will", 3},
		{"filters", 3},
		{"takeover", 3},
		{"keepalive", 4},
		{"collisions", 4},
		{"session", 4},
		{"properties", 5},
	}
	for version := 3; version <= 5; version++ {
		for _, test := range tests {
			if version < test.since {
				continue
			}
			t.Run(fmt.Sprintf("version %d/%s", version, test.behaviour), func(t *testing.T) {
				cmd, out := mqttJS(t, g, test.behaviour, version)
				if err := cmd.Start(); err != nil {
					t.Fatal(err)
				}
				hung := time.AfterFunc(patience, func() { cmd.Process.Kill() })
				defer hung.Stop()
				if err := cmd.Wait(); err != nil {
					t.Errorf("%v\n%s\nthe gateway:\n%s", err, out, g.log)
				}
			})
		}
	}
}

// Guarantee 1: what was acknowledged is there after the gateway was killed; the
// client connects again and sends what was not.
func TestMQTTJSGatewayKilled(t *testing.T) {
	for version := 4; version <= 5; version++ {
		t.Run(fmt.Sprintf("version %d", version), func(t *testing.T) {
			t.Parallel()
			g := startGateway(t)
			cmd, out := mqttJS(t, g, "publishing", version)
			in, err := cmd.StdinPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			defer cmd.Process.Kill()
			out.await(t, "ready", 1)
			const rounds = 5
			for round := 1; round <= rounds; round++ {
				fmt.Fprintln(in, "more")
				out.await(t, "sent", round)
				g.kill()
				g.start()
				out.await(t, "acknowledged", round)
			}
			fmt.Fprintln(in, "enough")
			if err := cmd.Wait(); err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			if q := g.stored(); q.Pending < 100*rounds || q.Pending != q.Accepted {
				t.Errorf("of %d messages that were acknowledged %d are pending", 100*rounds, q.Pending)
			}
		})
	}
}
