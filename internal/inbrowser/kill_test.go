package inbrowser

import (
	"os"
	"testing"

	"github.com/mqttdb/mqttdb/internal/mosquitto"
)

// What a page has stored survives a reload and the death of the browser, and arrives once
// at QoS 2, at least once at QoS 1, in order. ROUNDS says how often the browser is killed
// while the page publishes.
func TestKilled(t *testing.T) {
	rounds := os.Getenv("ROUNDS")
	if rounds == "" {
		rounds = "4"
	}
	// mosquitto 2.0.11 loses messages of QoS 1 that wait, acknowledged, for a place in the
	// window of a subscriber while others of QoS 2 come.
	s := newScene(t, withMosquitto(mosquitto.WithConfig("max_inflight_messages 0")))
	s.listen("")
	s.play("kill", "COUNT=5000", "ROUNDS="+rounds)
}
