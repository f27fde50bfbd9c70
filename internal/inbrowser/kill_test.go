package inbrowser

import (
	"cmp"
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/mqttdb/mqttdb/internal/mosquitto"
)

// What a page has stored survives a reload and the death of the browser, and arrives once
// at QoS 2, at least once at QoS 1, in order. ROUNDS says how often the browser is killed
// while the page publishes.
func TestKilled(t *testing.T) {
	rounds, err := strconv.Atoi(cmp.Or(os.Getenv("ROUNDS"), "4"))
	if err != nil {
		t.Fatalf("ROUNDS: %v", err)
	}
	// mosquitto 2.0.11 loses messages of QoS 1 that wait, acknowledged, for a place in the
	// window of a subscriber while others of QoS 2 come.
	s := newScene(t, withMosquitto(mosquitto.WithConfig("max_inflight_messages 0")))
	s.listen("")
	s.patience += time.Duration(rounds) * 5 * time.Second
	s.play("kill", "COUNT=5000", "ROUNDS="+strconv.Itoa(rounds))
}

// With the quota used up publish says so, nothing is lost, and it goes on when messages
// were sent.
func TestQuota(t *testing.T) {
	s := newScene(t, withMosquitto())
	s.listen("")
	s.play("quota")
}

// Where the browser lets a page store nothing, open says so at once.
func TestBlocked(t *testing.T) {
	s := newScene(t, withMosquitto())
	s.play("blocked")
}

// A page that publishes stores much faster than one that has a transaction for each message.
func TestPuts(t *testing.T) {
	s := newScene(t, withMosquitto())
	s.play("puts", "TIMES=20")
}
