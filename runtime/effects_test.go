package runtime

import (
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
