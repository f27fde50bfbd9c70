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

// patience is how long anything may take that has to happen.
const patience = 60 * time.Second

// installed is where everything is that TestMain made or found.
type installed struct {
	gateway string // the program
	node    string
	modules string // of node
}

var programs installed

func TestMain(m *testing.M) {
	code, err := prepared(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, "interop:", err)
		code = 1
	}
	os.Exit(code)
}

// prepared builds the gateway, sees to it that the clients are there, and runs
// the tests.
func prepared(m *testing.M) (int, error) {
	root, err := filepath.Abs("../..")
	if err != nil {
		return 0, err
	}
	if out, err := exec.Command(filepath.Join(root, "scripts", "clients.sh")).CombinedOutput(); err != nil {
		return 0, fmt.Errorf("install the clients: %w\n%s", err, out)
	}
	dir, err := os.MkdirTemp("", "interop")
	if err != nil {
		return 0, err
	}
	defer os.RemoveAll(dir)
	programs = installed{
		gateway: filepath.Join(dir, "mqttdb"),
		node:    filepath.Join(root, ".cache", "interop", "node"),
		modules: filepath.Join(root, ".cache", "interop", "node_modules"),
	}
	build := exec.Command("go", "build", "-o", programs.gateway, "github.com/mqttdb/mqttdb/cmd/native")
	if out, err := build.CombinedOutput(); err != nil {
		return 0, fmt.Errorf("build the gateway: %w\n%s", err, out)
	}
	return m.Run(), nil
}
