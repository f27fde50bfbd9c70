package actors

import (
	"errors"
	"time"

	"github.com/mqttdb/mqttdb/broker"
	"github.com/mqttdb/mqttdb/persistence"
	"github.com/mqttdb/mqttdb/types"
)

// sending is the part of a connection that moves messages from the queue to the
// link, as the window has room, two windows ahead [S8.4].
type sending struct {
	window window

	ahead      []persistence.Record // fetched and not sent, in order
	room       []persistence.Record // the memory that ahead lies in
	batch      []broker.Publish     // memory for what is handed to the link
	aheadBytes int64
	fetching   bool
	through    types.Seq // fetched up to here
	handed     types.Seq // handed to this link up to here
	last       types.Seq // the newest that the queue has
	unreadable bool      // the queue has an error; Opened ends that

	pace  pace
	paced func() // stops the timer of the next message, while pace holds it back

	progress time.Time // when the other side last acknowledged something, or was first expected to
	watching bool      // a progressDue is on its way
}

// begin starts anew from the oldest pending message.
func (c *connection) begin() {
	c.handed = 0
	c.risen = true
	if c.config.MaxAttempts > 0 {
		c.suspect.linked(c.config.Window)
	} else {
		c.suspect.linked(0) // nothing is decided, so nothing has to be certain
	}
	c.forgetFetched()
	c.progress = c.config.Clock.Now()
	c.watching = false
}

// end forgets what the link had not acknowledged.
func (c *connection) end() {
	c.window.linkLost()
	c.releasing, c.expiring = releasing{}, expiring{}
	c.handed = 0
	c.forgetFetched()
}

// forgetFetched drops what was fetched and not sent, also what is on its way.
func (c *connection) forgetFetched() {
	c.token++
	c.ahead, c.room, c.aheadBytes = nil, nil, 0
	c.fetching = false
	c.through = c.handed
}

// pull sends what the window has room for, and fetches what comes next.
func (c *connection) pull() {
	if c.link == nil {
		return
	}
	if c.leaving {
		c.tryLeave()
		return
	}
	if c.lost || len(c.owed) > 0 { // until that is noted, or over
		c.watch()
		return
	}
	c.send()
	c.fetch()
	c.watch()
}

// fetch asks the queue for more when less than one window is left.
func (c *connection) fetch() {
	if c.fetching || c.unreadable || c.through >= c.last || c.link == nil {
		return
	}
	room := c.config.WindowBytes - c.aheadBytes
	if len(c.ahead) >= c.config.Window || len(c.ahead) > 0 && room < c.config.WindowBytes/2 {
		return
	}
	c.fetching = true
	c.token++
	self, token := c.self, c.token
	c.config.Queue.Tell(Fetch{
		After: c.through,
		Limit: persistence.Limit{Records: 2*c.config.Window - len(c.ahead), Bytes: room},
		Reply: func(f Fetched, err error) { self.Tell(fetched{token, f, err}) },
		drain: true, safe: true, supply: true,
	})
}

func (c *connection) fetched(m fetched) {
	if m.token != c.token || !c.fetching {
		return
	}
	c.fetching = false
	if m.err != nil {
		c.unreadable = true
		return
	}
	c.last = m.answer.Last
	c.took(m.answer)
}

// took puts messages behind those that are to be sent.
func (c *connection) took(f Fetched) {
	c.through = f.Through
	for _, r := range f.Records {
		c.aheadBytes += int64(r.Message.Size())
	}
	// What is left, less than a window, moves to the front, so that the memory is
	// used again and again.
	n := copy(c.room[:cap(c.room)], c.ahead)
	clear(c.room[n:cap(c.room)])
	c.room = append(c.room[:n], f.Records...)
	c.ahead = c.room
}

// send hands to the link what fits into the window, in one call; before it goes
// PUBREL for what the broker may have got over an earlier link.
func (c *connection) send() {
	c.batch, c.ids = c.batch[:0], c.ids[:0]
	var gone []persistence.Done
	if len(c.ahead) == 0 {
		return
	}
	now := c.config.Clock.Now()
	for len(c.ahead) > 0 {
		r := &c.ahead[0]
		size := int64(r.Message.Size())
		if !c.window.holds(r.Seq) { // else it was acknowledged on an earlier link
			course, reason := c.course(r, now)
			if course == giveUp {
				c.abandonExpired(now)
				break
			}
			if !c.hand(r, course, reason) {
				break
			}
			if course == over {
				gone = append(gone, c.doneAs(r.Seq, reason))
			}
		}
		c.handed = r.Seq
		c.aheadBytes -= size
		c.ahead[0] = persistence.Record{}
		c.ahead = c.ahead[1:]
	}
	if len(gone) > 0 {
		c.config.Queue.Tell(Settle{Done: gone, Store: c.store})
	}
	c.release(c.ids)
	batch := c.batch
	if len(batch) == 0 {
		return
	}
	if err := c.link.Publish(batch); err != nil && !errors.Is(err, types.ErrClosed) {
		c.sendSingly(batch)
	} // a link that is closed tells Down
	c.sent = max(c.sent, types.Seq(batch[len(batch)-1].Tag))
	clear(batch) // it holds on to payloads
}

// hand takes a message into the window and into what is sent next, or says that
// it has to wait.
func (c *connection) hand(r *persistence.Record, course course, reason types.Reason) bool {
	m, size := c.carried(r.Message), r.Message.Size()
	above := course == publishKnown && m.QoS < 2
	if course == publishKnown || course == finish {
		m.QoS = 2
	}
	if !c.window.fits(r.Seq, size, m.QoS) || c.suspect.alone > 0 && c.window.open > 0 || !c.idFree(r.Seq) {
		return false
	}
	if m.QoS == 2 && !c.mayUse(r.Seq) || course == finish && !r.Released && !c.confirmAbandoned() {
		return false
	}
	if course == over {
		c.window.leave(r.Seq, size, reason)
		return true
	}
	if course != finish && !c.config.Queue.claims.claim(r.Seq) {
		return true // it was dropped meanwhile
	}
	if course != finish && c.pace.limited() {
		if c.keepPace() {
			return false
		}
		c.pace.spend(c.config.Clock.Now(), size)
	}
	c.suspect.sends(r, m.QoS, course == finish, above)
	if c.window.open == 0 {
		c.progress = c.config.Clock.Now()
	}
	if course == finish {
		c.window.resume(r.Seq, size, reason, acceptedAt(r))
		c.ids = append(c.ids, packetID(r.Seq))
	} else {
		c.window.add(r.Seq, size, m.QoS, acceptedAt(r))
		c.batch = append(c.batch, c.publish(r, m, course == publishKnown))
	}
	if m.QoS == 2 && !r.Released {
		c.handshakes.begin(r.Seq, r.Abandoned)
	}
	return true
}

// publish makes the packet of a stored message, as m; known says that it has QoS 2
// and the session may know of it.
func (c *connection) publish(r *persistence.Record, m types.Message, known bool) broker.Publish {
	p := broker.Publish{Tag: uint64(r.Seq), Message: m, Until: until(r, c.maxAge)}
	if m.QoS > 0 {
		p.ID = packetID(r.Seq)
		p.Dup = r.Seq <= c.sent || c.doubt.about(r.Seq) // [MQTT-3.3.1-1]
	}
	if m.QoS == 2 {
		p.Dup = known // a broker that has lost the session is sent it anew [S3.4]
	}
	if p.Dup {
		c.handle.resent.Add(1)
	}
	if r.Enveloped {
		p.Message.Payload = envelope(r, p.Dup || r.Enqueued.Before(c.up) || !r.Original.IsZero())
	}
	return p
}

// sendSingly finds out which messages of a batch the link cannot carry. They
// leave the queue, or they would be in the way for ever.
func (c *connection) sendSingly(batch []broker.Publish) {
	var refused []persistence.Done
	var full error
	for i, p := range batch {
		err := c.link.Publish(batch[i : i+1])
		if err == nil {
			continue
		}
		if errors.Is(err, types.ErrClosed) {
			break
		}
		seq := types.Seq(p.Tag)
		if c.lettersFull() {
			full = c.fullOfLetters(err)
			break
		}
		c.config.Logger.Error("a message cannot be sent and is given up", "seq", seq, "error", err)
		c.window.refused(seq)
		c.causes[seq] = err.Error()
		refused = append(refused, c.doneAs(seq, types.Dead))
	}
	if len(refused) > 0 {
		c.config.Queue.Tell(Settle{Done: refused, Store: c.store})
	}
	if full != nil {
		c.hangUp(false)
		c.retry(types.Refused, full)
	}
}

// acked takes what the broker acknowledges, in whatever order.
func (c *connection) acked(e broker.Acked) {
	var set persistence.Ranges
	var others []persistence.Done
	for _, a := range e.Acks {
		if len(c.owed) > 0 && a.Kind == broker.PubComp && c.owes(a.ID) {
			c.progress = c.config.Clock.Now()
			c.noteMissing()
			continue
		}
		switch seq, what := c.window.acked(a); what {
		case taken:
			c.take(seq)
		case finished:
			if reason := c.window.reasonOf(seq); reason != types.Sent {
				others = append(others, c.doneAs(seq, reason))
				continue
			}
			set.Add(persistence.Range{First: seq, Last: seq})
		}
	}
	if len(set) > 0 || len(c.taken) > 0 { // others had been given up before
		c.answered()
		c.progress = c.config.Clock.Now()
	}
	c.journal()
	c.handle.unknown.Add(c.window.unknown)
	c.window.unknown = 0
	c.settle(set, others...)
}

// written takes that QoS 0 messages are out [S2.2].
func (c *connection) written(e broker.Written) {
	var set persistence.Ranges
	c.window.written(types.Seq(e.Tag), &set)
	c.settle(set)
}

// settle tells the queue that these were sent, and how others have left.
func (c *connection) settle(set persistence.Ranges, others ...persistence.Done) {
	if len(set) == 0 && len(others) == 0 {
		return
	}
	c.delivered(set)
	c.progress = c.config.Clock.Now()
	c.suspect.leaves(set.Count() + uint64(len(others)))
	list := make([]persistence.Done, 0, len(set)+len(others))
	for _, r := range set {
		list = append(list, persistence.Done{Range: r, Reason: types.Sent})
	}
	c.config.Queue.Tell(Settle{Done: append(list, others...), Store: c.store})
}

// doneAs says that a message has left, and how.
func (c *connection) doneAs(seq types.Seq, reason types.Reason) persistence.Done {
	d := persistence.Done{Range: persistence.Range{First: seq, Last: seq}, Reason: reason}
	if reason == types.Dead {
		if d.Cause = c.causes[seq]; d.Cause == "" {
			d.Cause = "it was given up before the last start"
		}
	}
	return d
}

// watch sees to it that a silent broker is noticed.
func (c *connection) watch() {
	if c.watching || c.expects() == 0 || c.config.StallTimeout < 0 || c.link == nil {
		return
	}
	c.watching = true
	wait := c.progress.Add(c.config.StallTimeout).Sub(c.config.Clock.Now())
	due := progressDue{c.attempt}
	c.config.Clock.AfterFunc(max(wait, 0), func() { c.self.Tell(due) })
}

// expects is how many acknowledgements are to come.
func (c *connection) expects() int { return c.window.open + len(c.owed) }

func (c *connection) progressDue(m progressDue) {
	if m.attempt != c.attempt || c.link == nil || c.leaving {
		return
	}
	c.watching = false
	if c.expects() > 0 && c.config.Clock.Now().Sub(c.progress) >= c.config.StallTimeout {
		c.stalled()
	}
}
