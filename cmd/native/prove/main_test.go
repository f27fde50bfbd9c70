//go:build unix

package prove

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/mqttdb/mqttdb/config"
	"github.com/mqttdb/mqttdb/internal/mosquitto"
)

// program is the gateway that the tests kill, built anew.
var program string

func TestMain(m *testing.M) {
	code, err := built(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, "prove:", err)
		code = 1
	}
	os.Exit(code)
}

// built builds the gateway and runs the tests with it.
func built(m *testing.M) (int, error) {
	dir, err := os.MkdirTemp("", "prove")
	if err != nil {
		return 0, err
	}
	defer os.RemoveAll(dir)
	program = filepath.Join(dir, "mqttdb")
	build := exec.Command("go", "build", "-o", program, "github.com/mqttdb/mqttdb/cmd/native")
	if out, err := build.CombinedOutput(); err != nil {
		return 0, fmt.Errorf("build the gateway: %w\n%s", err, out)
	}
	return m.Run(), nil
}

// proofAt are options for a small proof at a broker, whose scratch store lies in
// an empty directory.
func proofAt(t *testing.T, url string) Options {
	t.Helper()
	cfg := config.Config{Connections: []config.Connection{{Name: "cloud", Broker: url}}}
	if err := cfg.SetDefaultsAndValidate(); err != nil {
		t.Fatal(err)
	}
	return Options{
		Connection: cfg.Connections[0], DataDir: filepath.Join(t.TempDir(), "data"),
		Messages: 2000, Kills: 2, Cuts: 2, Program: program,
	}
}

// removed fails the test unless nothing of a proof is left: on the disk nothing,
// and at the broker no session of any client that was there.
func removed(t *testing.T, o Options, b *mosquitto.Broker) {
	t.Helper()
	left, err := os.ReadDir(filepath.Dir(o.DataDir))
	if err != nil || len(left) > 0 {
		t.Errorf("left on the disk: %v %v", left, err)
	}
	if kept := sessions(b); len(kept) > 0 {
		t.Errorf("left at the broker: %v", kept)
	}
}

// sessions are the clients whose latest session the broker keeps, by its log.
func sessions(b *mosquitto.Broker) []string {
	latest := map[string]bool{}
	for line := range strings.Lines(b.Log()) {
		_, client, ok := strings.Cut(line, "New client connected from ")
		if !ok {
			continue
		}
		if fields := strings.Fields(client); len(fields) >= 5 { // ADDR as ID (p2, c0, k30).
			latest[fields[2]] = strings.Contains(client, ", c0,")
		}
	}
	var kept []string
	for id, keeps := range latest {
		if keeps {
			kept = append(kept, id)
		}
	}
	return kept
}

func text(t *testing.T, r *Report) string {
	t.Helper()
	var b strings.Builder
	if err := r.Print(&b); err != nil {
		t.Fatal(err)
	}
	return b.String()
}
