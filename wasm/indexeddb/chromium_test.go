//go:build unix

package indexeddb

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/mqttdb/mqttdb/internal/chromium"
)

// The tests of this package that are built for js/wasm, in a Worker of a real browser.
func TestInChromium(t *testing.T) {
	wasm := filepath.Join(t.TempDir(), "indexeddb.test")
	build := exec.CommandContext(t.Context(), "go", "test", "-c", "-o", wasm, ".")
	build.Env = append(os.Environ(), "GOOS=js", "GOARCH=wasm")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	var out bytes.Buffer
	code, err := chromium.Run(t.Context(), chromium.Program{
		Wasm: wasm, Args: []string{"-test.v", "-test.timeout=" + (4 * time.Minute).String()}, Output: &out, Profile: t.TempDir(),
	})
	if err != nil || code != 0 || !bytes.Contains(out.Bytes(), []byte("--- PASS: TestSuite")) {
		t.Errorf("exit code %d, %v\n%s", code, err, &out)
	}
}
