package actors

import "time"

// round decides when a commit begins whose company is still on its way. Callers
// who wait for one message before they send the next come back together after
// each sync. If they are back soon, as syncs go, the commit waits for them: else
// they would split into two groups that take turns, and every caller would wait
// for two syncs. If a sync is over sooner than they can be back, two groups are
// what keeps the disk busy, and the one that is there goes before the other is
// even answered. A single caller never waits, and callers who do not come back
// are waited for less and less.
type round struct {
	expected int           // requests that were served or waiting when the last sync ended
	took     time.Duration // that sync
	until    time.Time     // how long to wait for as many
	waiting  bool          // somebody was waited for in this round
	share    time.Duration // a wait lasts a sync divided by this
}

const (
	longestWait  = 4  // bounds of round.share
	shortestWait = 64 //
	mostPatience = 10 * time.Millisecond

	// comeback is how long each of many callers takes from an answer to its next
	// request, about.
	comeback = 2 * time.Microsecond
)

// over notes that a sync has ended, at which so many had been served by it or
// were waiting for the next.
func (r *round) over(requests int, took time.Duration, clock Clock) {
	if r.share == 0 {
		r.share = longestWait
	}
	r.expected, r.took, r.waiting = requests, took, false
	r.until = clock.Now().Add(min(took/r.share, mostPatience))
}

// hurry says whether so many requests that wait when a sync has ended should be
// committed before those are answered whom it has served.
func (r *round) hurry(requests int) bool {
	return requests > 0 && requests >= r.expected/4 && time.Duration(r.expected)*comeback > r.took/longestWait
}

// wait says for how long a commit of so many requests should wait for more.
func (r *round) wait(requests int, clock Clock) time.Duration {
	if requests >= r.expected {
		if r.waiting {
			r.share = max(r.share/2, longestWait)
			r.waiting = false
		}
		return 0
	}
	left := r.until.Sub(clock.Now())
	if left > 0 {
		r.waiting = true
		return left
	}
	if r.waiting {
		r.share = min(r.share*2, shortestWait)
		r.waiting = false
	}
	return 0
}
