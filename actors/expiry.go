package actors

import (
	"slices"
	"time"

	"github.com/mqttdb/mqttdb/broker"
	"github.com/mqttdb/mqttdb/persistence"
	"github.com/mqttdb/mqttdb/types"
)

// sooner is the shorter one of two times, of which 0 means for ever.
func sooner(a, b time.Duration) time.Duration {
	if a <= 0 || b > 0 && b < a {
		return max(b, 0)
	}
	return a
}

// until is when a message is not worth sending any more: its own expiry after it was
// accepted, or the most that the queue allows; zero: never.
func until(r *persistence.Record, maxAge time.Duration) time.Time {
	most := sooner(r.Message.Expiry, maxAge)
	if most <= 0 {
		return time.Time{}
	}
	return r.Since.Add(most)
}

// past says whether a time that until returned is over.
func past(until, now time.Time) bool { return !until.IsZero() && !now.Before(until) }

// withheld takes what the link has not written, for it had expired. It is fetched
// again: then its course is another one.
func (c *connection) withheld(e broker.Withheld) {
	again := false
	for _, tag := range e.Tags {
		if seq := types.Seq(tag); c.window.withheld(seq) {
			c.handed, again = min(c.handed, seq-1), true
		}
	}
	if again {
		c.forgetFetched()
	}
}

// expiring is the part of a connection that gives up messages that have expired
// while the session may know of them: they may not be published again, and their
// handshakes are to be finished, which has to be recorded first [S3.5].
type expiring struct {
	abandoning bool // a Note is on its way
	barred     bool // the queue could not record it; Opened, or the next link, ends that
}

// abandonExpired has recorded that the messages with QoS 2 that come next, have
// expired, and that the session may know of, are abandoned.
func (c *connection) abandonExpired(now time.Time) {
	if c.abandoning || c.barred {
		return
	}
	var list []persistence.Done
	for i := range c.ahead {
		r := &c.ahead[i]
		if len(list) == c.config.QoS2Window {
			break
		}
		if course, why := c.course(r, now); course == giveUp && !c.window.holds(r.Seq) {
			list = append(list, persistence.Done{Range: rangeOf(r.Seq), Reason: why})
		}
	}
	c.abandoning = true
	self, done := c.self, expiredNoted{attempt: c.attempt, list: list}
	c.config.Queue.Tell(Note{Abandoned: list, Store: c.store, Reply: func(_ Noted, err error) {
		done.err = err
		self.Tell(done)
	}})
}

// expiredNoted goes on with what is abandoned.
func (c *connection) expiredNoted(m expiredNoted) {
	if m.attempt != c.attempt || c.link == nil {
		return // the next link fetches them as they are recorded
	}
	c.abandoning = false
	if m.err != nil {
		c.barred = !c.reopened(m.err)
		return
	}
	for i := range c.ahead {
		r := &c.ahead[i]
		for _, d := range m.list {
			if d.Range.First == r.Seq {
				r.Abandoned, r.Why = true, types.Expired
			}
		}
	}
}

// dropAhead takes out of what was fetched what has left meanwhile: it has expired.
func (c *connection) dropAhead(set persistence.Ranges) {
	if len(c.ahead) == 0 || len(set) == 0 || set[len(set)-1].Last < c.ahead[0].Seq {
		return
	}
	c.ahead = slices.DeleteFunc(c.ahead, func(r persistence.Record) bool {
		gone := set.Contains(r.Seq)
		if gone {
			c.aheadBytes -= int64(r.Message.Size())
		}
		return gone
	})
}
