package actors

import (
	"errors"
	"slices"

	"github.com/mqttdb/mqttdb/persistence"
	"github.com/mqttdb/mqttdb/types"
)

// releasing is the part of a connection that finishes the handshakes of QoS 2: it
// has each PUBREC journalled before PUBREL is sent, so that a message that the
// broker has may never be published a second time [S3.2]. What arrives while the
// journal is synced is written meanwhile, and waits for the next sync: one for many
// PUBRECs, and one write for their PUBRELs.
//
//	PUBREC ─▶ taken ──Note{Released}──▶ queue … committed ─▶ PUBREL … PUBCOMP ─▶ Settle
type releasing struct {
	taken      []types.Seq // by the broker, in the order of its PUBRECs; not journalled
	journaling []types.Seq // told to the queue, in the same order
	try        int         // which one they are: after an error all are told again
	unable     bool        // the queue could not; Opened, or the next link, ends that
	confirm    confirmation

	reservingMore bool     // more numbers are being reserved
	ids           []uint16 // memory for PUBRELs
}

// take notes that the broker has a message.
func (c *connection) take(seq types.Seq) { c.taken = append(c.taken, seq) }

// journal has noted what the broker has.
func (c *connection) journal() {
	if len(c.taken) == 0 || c.unable {
		return
	}
	var set persistence.Ranges
	for _, seq := range c.taken {
		set.Add(persistence.Range{First: seq, Last: seq})
	}
	self, done := c.self, journaled{attempt: c.attempt, try: c.try, count: len(c.taken)}
	c.journaling, c.taken = append(c.journaling, c.taken...), c.taken[:0]
	c.notes++
	c.config.Queue.Tell(Note{Released: set, Store: c.store, Reply: func(_ Noted, err error) {
		done.err = err
		self.Tell(done)
	}})
}

// journaled sends PUBREL for what is noted, in the order of the PUBRECs
// [MQTT-4.6.0-4].
func (c *connection) journaled(m journaled) {
	c.notes--
	if m.attempt != c.attempt || c.link == nil || m.try != c.try {
		return // the next link begins with what is journalled
	}
	if m.err != nil {
		c.taken = append(c.journaling, c.taken...)
		c.journaling, c.unable = nil, !c.reopened(m.err)
		c.try++
		c.journal()
		return
	}
	ids := c.ids[:0]
	for _, seq := range c.journaling[:m.count] {
		if c.window.releasing(seq) {
			ids = append(ids, packetID(seq))
		}
	}
	c.journaling = slices.Delete(c.journaling, 0, m.count)
	c.release(ids)
	c.ids = ids[:0]
}

// reopened says of the error of a Note that the queue has failed and has told Opened
// since: what it was told before it failed it answers behind that.
func (c *connection) reopened(err error) bool {
	return errors.Is(err, types.ErrInterrupted) && c.config.Queue.Trouble() == nil
}

// confirmation is about what was abandoned before a link began: that has to be
// committed before PUBREL is sent for it, or a power cut could bring a message
// back that the broker has got, and delivered.
type confirmation uint8

const (
	notAsked confirmation = iota
	asked
	confirmed
)

// confirmAbandoned says whether it is; else it asks, once.
func (c *connection) confirmAbandoned() bool {
	if c.confirm == notAsked {
		c.confirm = asked
		self, done := c.self, abandonedIs{attempt: c.attempt}
		c.config.Queue.Tell(Note{Store: c.store, Reply: func(_ Noted, err error) {
			done.err = err
			self.Tell(done)
		}})
	}
	return c.confirm == confirmed
}

func (c *connection) abandonedIs(m abandonedIs) {
	if m.attempt == c.attempt && c.link != nil && m.err == nil {
		c.confirm = confirmed
	} // else Opened leads here again, or the next link
}

// lose is for a link to a broker that does not have our session any more: it may
// have got what is released, and may not. That is to be published again, unless
// it is assumed to be delivered [S3.4]; nothing is sent before that is noted.
func (c *connection) lose() {
	if c.config.AssumeDelivered || c.notes == 0 && len(c.config.Queue.State().Released) == 0 {
		return
	}
	c.lost = true
	why := "the broker has lost the session"
	if c.session.Unsure {
		why = "the broker does not say whether it has kept the session"
	}
	c.config.Logger.Warn(why+": what it was about to deliver with QoS 2 is sent again, and may arrive twice", "broker", c.config.Brokers[c.at].Name)
}

// withdraw notes what lose has found.
func (c *connection) withdraw() {
	if !c.lost || c.link == nil {
		return
	}
	self, done := c.self, withdrawn{attempt: c.attempt}
	c.config.Queue.Tell(Note{Withdrawn: true, Store: c.store, Reply: func(_ Noted, err error) {
		done.err = err
		self.Tell(done)
	}})
}

func (c *connection) withdrawn(m withdrawn) {
	switch {
	case m.attempt != c.attempt || c.link == nil:
	case m.err == nil:
		c.lost = false
	case c.reopened(m.err):
		c.withdraw()
	default: // Opened follows, or the next link
		c.config.Logger.Warn("what is to be sent again could not be stored", "error", m.err)
	}
}

// release sends PUBREL.
func (c *connection) release(ids []uint16) {
	if len(ids) == 0 {
		return
	}
	if err := c.link.Release(ids); err != nil && !errors.Is(err, types.ErrClosed) { // a link that is closed tells Down
		c.config.Logger.Error("a handshake cannot be finished", "error", err)
	}
}

// journalAgain is for a queue that has opened its store anew: it has forgotten
// what it had not answered.
func (c *connection) journalAgain() {
	c.unable, c.barred = false, false
	if c.confirm == asked {
		c.confirm = notAsked
	}
	c.journal()
	c.withdraw()
}
