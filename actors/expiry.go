package actors

import (
	"time"

	"github.com/mqttdb/mqttdb/broker"
	"github.com/mqttdb/mqttdb/persistence"
	"github.com/mqttdb/mqttdb/types"
)

// until is when a message is not worth sending any more: its own expiry after it was
// accepted, or the most that the queue allows; zero: never.
func (q *Queue) until(r *persistence.Record) time.Time {
	most := r.Message.Expiry
	if age := time.Duration(q.maxAge.Load()); age > 0 && (most <= 0 || age < most) {
		most = age
	}
	if most <= 0 {
		return time.Time{}
	}
	return r.Since.Add(most)
}

// expired says whether a message is not worth sending any more.
func (q *Queue) expired(r *persistence.Record, now time.Time) bool {
	until := q.until(r)
	return !until.IsZero() && !now.Before(until)
}

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
