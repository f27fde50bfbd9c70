// Package examples_test builds and runs the examples, as their reader would.
package examples_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

func TestExamples(t *testing.T) {
	for name, want := range map[string]string{
		"embed":        `^message 1 is on disk; 1 pending, the connection is \w+\n$`,
		"custom-actor": `^message 1 is on disk; these actors run: \[mqttdb/_compactor mqttdb/cloud mqttdb/cloud/inbound mqttdb/cloud/outgoing\]\n$`,
	} {
		t.Run(name, func(t *testing.T) {
			binary := filepath.Join(t.TempDir(), name)
			if out, err := exec.Command("go", "build", "-o", binary, "./"+name).CombinedOutput(); err != nil {
				t.Fatalf("build: %v\n%s", err, out)
			}
			cmd := exec.Command(binary)
			cmd.Dir = t.TempDir() // its data goes there
			out, err := cmd.Output()
			if err != nil || !regexp.MustCompile(want).Match(out) {
				t.Errorf("%v, printed %q, want %s", err, out, want)
			}
		})
	}
}

// The README says that embedding takes no more than that.
func TestEmbedIsShort(t *testing.T) {
	text, err := os.ReadFile("embed/main.go")
	if err != nil {
		t.Fatal(err)
	}
	_, body, _ := strings.Cut(string(text), "func main() {\n")
	if lines := strings.Count(strings.TrimSuffix(body, "}\n"), "\n"); lines > 20 {
		t.Errorf("main has %d lines, 20 were promised", lines)
	}
}
