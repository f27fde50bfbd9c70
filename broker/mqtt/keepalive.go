package mqtt

import (
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/eclipse/paho.mqtt.golang/packets"
)

// keepalive sees to it that neither side is silent for longer than the
// interval, and that a broker which does not answer is found out within twice
// the interval, also while there is always something to send.
type keepalive struct {
	interval time.Duration // 0: off

	began             time.Time
	heardAt, spokenAt atomic.Int64 // since began

	mu      sync.Mutex
	timer   *time.Timer // nil: off or stopped
	pinged  bool
	pingAt  time.Duration
	stopped bool
}

// heard says that the broker was there at t.
func (k *keepalive) heard(t time.Time) { k.heardAt.Store(int64(t.Sub(k.began))) }

// said says that the broker was sent something at t.
func (k *keepalive) said(t time.Time) { k.spokenAt.Store(int64(t.Sub(k.began))) }

// patience is how long an answer to PINGREQ may take: less than the interval,
// so that the sum of both stays below two of them.
func (k *keepalive) patience() time.Duration { return k.interval * 3 / 4 }

// due says what is to be done now, and when to ask again.
func (k *keepalive) due(now time.Duration) (ping, dead bool, next time.Duration) {
	heard, spoken := time.Duration(k.heardAt.Load()), time.Duration(k.spokenAt.Load())
	if k.pinged && heard >= k.pingAt {
		k.pinged = false
	}
	if k.pinged {
		if left := k.pingAt + k.patience() - now; left > 0 {
			return false, false, left
		}
		return false, true, 0
	}
	// Also when only the other direction is busy: the broker counts from what
	// it heard [MQTT-3.1.2-24], and we from what we did.
	if left := min(heard, spoken) + k.interval - now; left > 0 {
		return false, false, left
	}
	k.pinged, k.pingAt = true, now
	return true, false, k.patience()
}

func (l *link) startKeepalive() {
	k := &l.keepalive
	k.began = time.Now()
	if k.interval <= 0 {
		return
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.timer = time.AfterFunc(k.interval, l.beat)
}

func (l *link) stopKeepalive() {
	k := &l.keepalive
	k.mu.Lock()
	defer k.mu.Unlock()
	k.stopped = true
	if k.timer != nil {
		k.timer.Stop()
	}
}

// beat is what the timer calls.
func (l *link) beat() {
	k := &l.keepalive
	if l.onHold() != nil { // what the broker says is not read
		k.heard(time.Now())
	}
	k.mu.Lock()
	if k.stopped {
		k.mu.Unlock()
		return
	}
	now := time.Since(k.began)
	silence := now - time.Duration(k.heardAt.Load())
	ping, dead, next := k.due(now)
	if !dead {
		k.timer.Reset(next)
	}
	k.mu.Unlock()

	switch {
	case dead:
		l.end(fmt.Errorf("no answer from the broker for %v", silence.Round(100*time.Millisecond)))
	case ping:
		// An error means that the link is closing, which has its own timeout.
		_ = l.send("ping", 2, func(out []byte) []byte { return append(out, packets.Pingreq<<4, 0) })
	}
}
