package actors

import (
	"cmp"
	"time"

	"github.com/mqttdb/mqttdb/persistence"
)

// stamp notes when the first of those messages came that are going to be committed
// together. One look at the clock serves them all.
func (a *queue) stamp(r *request) {
	if a.config.Committed != nil && a.collected == 0 && len(r.Entries) > 0 {
		r.since = a.config.Clock.Now()
	}
}

// timed tells how long a request that is stored has waited.
func (a *queue) timed(r *request) {
	if !r.since.IsZero() {
		a.config.Committed(a.config.Clock.Now().Sub(r.since))
	}
}

// acceptedAt is since when a message waits.
func acceptedAt(r *persistence.Record) time.Time { return cmp.Or(r.Since, r.Enqueued) }

// delivered tells how long it took until the broker had these, which are still in
// the window.
func (c *connection) delivered(set persistence.Ranges) {
	if c.config.Delivered == nil || len(set) == 0 {
		return
	}
	now := c.config.Clock.Now()
	for _, r := range set {
		for i := c.window.search(r.First); i < len(c.window.slots) && c.window.slots[i].seq <= r.Last; i++ {
			if at := c.window.slots[i].accepted; !at.IsZero() {
				c.config.Delivered(max(0, now.Sub(at))) // the clock may have been set back
			}
		}
	}
}
