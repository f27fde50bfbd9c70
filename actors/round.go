package actors

import "time"

// round decides whether a commit waits for company. Callers who wait for one
// message before they send the next come back together after each sync; the
// first of them must not go on a sync of its own, or every other sync would be
// for one message. So after a sync that served several, the next one waits until
// as many are there again, but not longer than a fraction of what a sync takes.
// A single caller never waits.
type round struct {
	expected int           // requests that were served or waiting when the last sync ended
	patience time.Duration // how long to wait for as many
	until    time.Time     // the end of the wait, zero while nobody does
}

const (
	patienceShare = 16 // of the duration of a sync
	mostPatience  = time.Millisecond
)

// over notes that a sync has ended, at which so many had been served by it or
// were waiting for the next.
func (r *round) over(requests int, took time.Duration, clock Clock) {
	r.expected, r.patience = requests, min(took/patienceShare, mostPatience)
	r.until = clock.Now().Add(r.patience)
}

// wait says whether a commit of so many requests should wait for more.
func (r *round) wait(requests int, clock Clock) bool {
	if requests >= r.expected || r.patience == 0 {
		return false
	}
	return clock.Now().Before(r.until)
}
