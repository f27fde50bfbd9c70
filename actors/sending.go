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
	c.releasing = releasing{}
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
		drain: true, safe: true,
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
	c.through = m.answer.Through
	c.last = m.answer.Last
	for _, r := range m.answer.Records {
		c.aheadBytes += int64(r.Message.Size())
	}
	// What is left, less than a window, moves to the front, so that the memory is
	// used again and again.
	n := copy(c.room[:cap(c.room)], c.ahead)
	clear(c.room[n:cap(c.room)])
	c.room = append(c.room[:n], m.answer.Records...)
	c.ahead = c.room
}

// send hands to the link what fits into the window, in one call; before it goes
// PUBREL for what the broker has got over an earlier link.
func (c *connection) send() {
	batch, ids := c.batch[:0], c.ids[:0]
	for len(c.ahead) > 0 {
		r := &c.ahead[0]
		size := r.Message.Size()
		if !c.window.holds(r.Seq) { // else it was acknowledged on an earlier link
			m := c.carried(r.Message)
			if r.Message.QoS == 2 && (r.Released || c.knows(r.Seq)) {
				m.QoS = 2
			}
			if !c.window.fits(r.Seq, size, m.QoS) || c.suspect.alone > 0 && c.window.open > 0 {
				break
			}
			if c.window.open == 0 {
				c.progress = c.config.Clock.Now()
			}
			if r.Released {
				c.suspect.sends(r)
				c.window.resume(r.Seq, size, types.Sent)
				ids = append(ids, packetID(r.Seq))
			} else {
				if c.pace.limited() {
					if c.keepPace() {
						break
					}
					c.pace.spend(c.config.Clock.Now(), size)
				}
				c.suspect.sends(r)
				batch = append(batch, c.publish(r, m))
				c.window.add(r.Seq, size, m.QoS)
			}
		}
		c.handed = r.Seq
		c.aheadBytes -= int64(size)
		c.ahead[0] = persistence.Record{}
		c.ahead = c.ahead[1:]
	}
	c.release(ids)
	c.ids = ids[:0]
	if len(batch) == 0 {
		return
	}
	if err := c.link.Publish(batch); err != nil && !errors.Is(err, types.ErrClosed) {
		c.sendSingly(batch)
	} // a link that is closed tells Down
	c.sent = max(c.sent, types.Seq(batch[len(batch)-1].Tag))
	clear(batch) // it holds on to payloads
	c.batch = batch[:0]
}

// publish makes the packet of a stored message, as m.
func (c *connection) publish(r *persistence.Record, m types.Message) broker.Publish {
	p := broker.Publish{Tag: uint64(r.Seq), Message: m}
	if m.QoS > 0 {
		p.ID = packetID(r.Seq)
		p.Dup = r.Seq <= c.sent || c.doubt.about(r.Seq) // [MQTT-3.3.1-1]
	}
	if m.QoS == 2 {
		p.Dup = c.knows(r.Seq) // a broker that has lost the session is sent it anew [S3.4]
		c.handshakes.begin(r.Seq)
	}
	if p.Dup {
		c.handle.resent.Add(1)
	}
	if r.Enveloped {
		p.Message.Payload = envelope(r, p.Dup || r.Enqueued.Before(c.up))
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
		refused = append(refused, persistence.Done{Range: persistence.Range{First: seq, Last: seq}, Reason: types.Dead, Cause: err.Error()})
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
	for _, a := range e.Acks {
		switch seq, what := c.window.acked(a); what {
		case taken:
			c.take(seq)
		case finished:
			set.Add(persistence.Range{First: seq, Last: seq})
		}
	}
	if len(set) > 0 || len(c.taken) > 0 {
		c.suspect.answers()
		c.progress = c.config.Clock.Now()
	}
	c.journal()
	c.handle.unknown.Add(c.window.unknown)
	c.window.unknown = 0
	c.settle(set)
}

// written takes that QoS 0 messages are out [S2.2].
func (c *connection) written(e broker.Written) {
	var set persistence.Ranges
	c.window.written(types.Seq(e.Tag), &set)
	c.settle(set)
}

func (c *connection) settle(set persistence.Ranges) {
	if len(set) == 0 {
		return
	}
	c.progress = c.config.Clock.Now()
	c.suspect.leaves(set.Count())
	list := make([]persistence.Done, len(set))
	for i, r := range set {
		list[i] = persistence.Done{Range: r, Reason: types.Sent}
	}
	c.config.Queue.Tell(Settle{Done: list, Store: c.store})
}

// watch sees to it that a silent broker is noticed.
func (c *connection) watch() {
	if c.watching || c.window.open == 0 || c.config.StallTimeout < 0 || c.link == nil {
		return
	}
	c.watching = true
	wait := c.progress.Add(c.config.StallTimeout).Sub(c.config.Clock.Now())
	due := progressDue{c.attempt}
	c.config.Clock.AfterFunc(max(wait, 0), func() { c.self.Tell(due) })
}

func (c *connection) progressDue(m progressDue) {
	if m.attempt != c.attempt || c.link == nil || c.leaving {
		return
	}
	c.watching = false
	if c.window.open > 0 && c.config.Clock.Now().Sub(c.progress) >= c.config.StallTimeout {
		c.stalled()
	}
}
