//go:build unix

package dist

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/mqttdb/mqttdb/config/yaml"
)

const root = "../.."

func read(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, name))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// The largest of the programs for Linux, that for amd64, fits the bound that
// scripts/dist.sh holds all of them to. What is over it was mostly linked by mistake:
// look whether something keeps the linker from leaving out methods
// (-ldflags=-dumpdep, ReflectMethod).
func TestSize(t *testing.T) {
	limit, err := strconv.ParseInt(regexp.MustCompile(`(?m)^limit=(\d+)`).FindStringSubmatch(read(t, "scripts/dist.sh"))[1], 10, 64)
	if err != nil || limit != 16<<20 {
		t.Fatalf("the limit is %d, %v", limit, err)
	}
	program := filepath.Join(t.TempDir(), "mqttdb")
	build := exec.CommandContext(t.Context(), "go", "build", "-tags", regexp.MustCompile(`(?m)^TAGS=(\w+)`).FindStringSubmatch(read(t, "scripts/packages.env"))[1], "-trimpath", "-ldflags", "-s -w", "-o", program, "./cmd/native")
	build.Dir = root
	build.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH=amd64")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	info, err := os.Stat(program)
	if err != nil {
		t.Fatal(err)
	}
	if t.Logf("%d bytes", info.Size()); info.Size() > limit {
		t.Errorf("the program takes %d bytes, more than %d", info.Size(), limit)
	}
}

// What the package installs is taken as it is, and keeps to itself.
func TestPackagedConfiguration(t *testing.T) {
	cfg, err := yaml.Parse("mqttdb.yaml", []byte(read(t, "packaging/mqttdb.yaml")), func(string) (string, bool) { return "", false })
	if err != nil {
		t.Fatal(err)
	}
	if err := cfg.SetDefaultsAndValidate(); err != nil {
		t.Fatal(err)
	}
	for _, at := range []string{cfg.MQTT.Listen, cfg.HTTP.Listen} {
		if !strings.HasPrefix(at, "127.0.0.1:") {
			t.Errorf("it listens at %s", at)
		}
	}
	if cfg.DataDir != "/var/lib/mqttdb" || len(cfg.Connections) > 0 {
		t.Errorf("data in %s, connections %v", cfg.DataDir, cfg.Connections)
	}
}

// Data goes when the package is purged, and at no other time.
func TestMaintainerScripts(t *testing.T) {
	for _, name := range []string{"postinst", "prerm", "postrm"} {
		text := read(t, "packaging/debian/"+name)
		check := exec.CommandContext(t.Context(), "sh", "-n")
		check.Stdin = strings.NewReader(text)
		if out, err := check.CombinedOutput(); err != nil {
			t.Errorf("%s: %v\n%s", name, err, out)
		}
		_, purge, _ := strings.Cut(text, "\npurge)")
		if strings.Count(text, "rm -") != strings.Count(purge, "rm -") {
			t.Errorf("%s removes something without a purge", name)
		}
	}
}

// A service of an older systemd is not ended by its watchdog, and finds its files.
func TestUnit(t *testing.T) {
	unit := read(t, "packaging/mqttdb.service")
	for _, line := range []string{
		"Type=notify", "ExecStart=mqttdb serve --config /etc/mqttdb/mqttdb.yaml", "StateDirectory=mqttdb", "User=mqttdb",
		"CapabilityBoundingSet=", "NoNewPrivileges=yes", "ProtectSystem=strict", "Restart=always",
	} {
		if !strings.Contains(unit, "\n"+line+"\n") {
			t.Errorf("%s is missing", line)
		}
	}
}
