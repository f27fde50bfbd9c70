//go:build js

package websocket

import (
	"sync"
	"time"
)

// deadline is when somebody is no longer to wait. It may be used concurrently.
type deadline struct {
	mu      sync.Mutex
	at      time.Time     // zero: never
	changed chan struct{} // closed when at is set anew
}

func (d *deadline) set(t time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.at = t
	close(d.changed)
	d.changed = make(chan struct{})
}

// wait returns what tells that it is over, and that it was set anew; stop frees the
// first.
func (d *deadline) wait() (over <-chan time.Time, changed <-chan struct{}, stop func()) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.at.IsZero() {
		return nil, d.changed, func() {}
	}
	timer := time.NewTimer(time.Until(d.at))
	return timer.C, d.changed, func() { timer.Stop() }
}
