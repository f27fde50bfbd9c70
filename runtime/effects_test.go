package runtime

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/mqttdb/mqttdb/config"
)

// Whoever adds a key says what it takes to change it.
func TestEveryKeyHasAnEffect(t *testing.T) {
	keys := []string{"connections.*.password", "connections.*.credentials"} // of Go programs only
	for _, k := range config.Keys() {
		keys = append(keys, k.Path)
	}
	for _, key := range keys {
		if _, known := effectOf(key); !known {
			t.Errorf("effects() does not say what it takes to change %s", key)
		}
	}
	for _, c := range []struct {
		key  string
		want effect
	}{
		{"connections.*.window", byLink},
		{"connections.*.window_bytes", byLink},
		{"connections.*.forward[].topic", atOnce},
		{"connections.*.subscribe[].topic", byLink},
		{"connections.*.subscribe[].local_prefix", atOnce},
		{"mqtt.users.*.publish", elsewhere},
	} {
		if got, _ := effectOf(c.key); got != c.want {
			t.Errorf("%s: %d, want %d", c.key, got, c.want)
		}
	}
}

// What takes a restart is what the documentation says.
func TestRestartIsDocumented(t *testing.T) {
	text, err := os.ReadFile("../docs/configuration.md")
	if err != nil {
		t.Fatal(err)
	}
	said := regexp.MustCompile("(?s)These take a restart, and are refused before: (.*?), and\n").FindSubmatch(text)
	if said == nil {
		t.Fatal("it does not say what takes a restart")
	}
	var documented []string
	for _, m := range regexp.MustCompile("`([^`]+)`").FindAllSubmatch(said[1], -1) {
		documented = append(documented, string(m[1]))
	}
	want := strings.Fields(effects()[byRestart])
	slices.Sort(documented)
	slices.Sort(want)
	if !slices.Equal(documented, want) {
		t.Errorf("documented: %v; refused: %v", documented, want)
	}
}
