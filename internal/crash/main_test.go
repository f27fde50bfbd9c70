//go:build unix

package crash

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"
)

// settings are what a run can be given from outside, and what TestMain made.
type settings struct {
	binary   string // the gateway, built anew, or GATEWAY
	kills    int
	messages int // of each cell of the matrix
	faults   int // there
	cycles   int // of a disk that becomes full
	seed     uint64
}

var run settings

func TestMain(m *testing.M) {
	code, err := prepared(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, "crash:", err)
		code = 1
	}
	os.Exit(code)
}

// prepared builds the gateway and runs the tests with it.
func prepared(m *testing.M) (int, error) {
	kills, err := number("KILLS", 20)
	if err != nil {
		return 0, err
	}
	if run.seed, err = number("SEED", uint64(time.Now().UnixNano())); err != nil {
		return 0, err
	}
	run.kills = int(kills)
	messages, err := number("MESSAGES", 450)
	if err != nil {
		return 0, err
	}
	faults, err := number("FAULTS", 3)
	if err != nil {
		return 0, err
	}
	cycles, err := number("CYCLES", 5)
	if err != nil {
		return 0, err
	}
	run.cycles = int(cycles)
	run.messages, run.faults = int(messages), int(faults)
	// A cell of the matrix mostly waits for somebody to notice something.
	if err := flag.Set("test.parallel", "8"); err != nil {
		return 0, err
	}
	dir, err := os.MkdirTemp("", "crash")
	if err != nil {
		return 0, err
	}
	defer os.RemoveAll(dir)
	if err := os.Chmod(dir, 0o755); err != nil { // a user without rights runs it too
		return 0, err
	}
	if run.binary = os.Getenv("GATEWAY"); run.binary != "" { // of another architecture, say
		return m.Run(), nil
	}
	run.binary = filepath.Join(dir, "mqttdb")
	build := exec.Command("go", "build", "-o", run.binary, "github.com/mqttdb/mqttdb/cmd/native")
	if out, err := build.CombinedOutput(); err != nil {
		return 0, fmt.Errorf("build the gateway: %w\n%s", err, out)
	}
	return m.Run(), nil
}

func number(name string, missing uint64) (uint64, error) {
	text := os.Getenv(name)
	if text == "" {
		return missing, nil
	}
	n, err := strconv.ParseUint(text, 10, 63)
	if err != nil || n == 0 {
		return 0, fmt.Errorf("%s is a number from 1, not %q", name, text)
	}
	return n, nil
}

// choices returns what a test draws its choices from, and says how to draw the
// same ones again.
func choices(t *testing.T) *rand.Rand {
	t.Logf("SEED=%d", run.seed)
	return rand.New(rand.NewPCG(run.seed, 0))
}
