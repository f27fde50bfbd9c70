package actors

import (
	"github.com/mqttdb/mqttdb/persistence"
	"github.com/mqttdb/mqttdb/types"
)

const (
	// What one read for all consumers takes, and the most of one for a consumer
	// that lies behind.
	readMessages = 512
	readBytes    = 512 << 10
)

// distributing is the part of the actor that moves messages from the queue to
// the consumers: it reads on for all who have got everything so far, and reads
// again for each that has room and lies behind.
type distributing struct {
	last        types.Seq // the newest that the queue has committed
	head        types.Seq // read for all, up to here
	reading     bool
	outstanding int // messages that were given
	touched     []*consumer
}

// readOn reads what is new.
func (a *consumers) readOn() {
	if a.reading || !a.loaded || a.head >= a.last {
		return
	}
	a.reading = true
	self, life := a.self, a.life
	a.config.Queue.Tell(Fetch{
		After: a.head, drain: true,
		Limit: persistence.Limit{Records: readMessages, Bytes: readBytes},
		Reply: func(f Fetched, err error) { self.Tell(consumerFetched{life: life, answer: f, err: err}) },
	})
}

// fetchFor reads for a consumer that lies behind.
func (a *consumers) fetchFor(c *consumer) {
	if c.receiver == nil || c.live || c.fetching || !a.loaded || !a.roomFor(c) {
		return
	}
	free := c.messages - len(c.given)
	if free < c.messages/4 && len(c.given) > 0 {
		return // a little later, for more
	}
	c.fetching = true
	c.stride = min(max(c.stride, 2*free), readMessages)
	self, life, token, after := a.self, a.life, c.token, c.read
	a.config.Queue.Tell(Fetch{
		After: after,
		Limit: persistence.Limit{Records: c.stride, Bytes: max(c.bytes-c.held, readBytes/4)},
		Reply: func(f Fetched, err error) {
			self.Tell(consumerFetched{life: life, consumer: c, token: token, after: after, answer: f, err: err})
		},
	})
}

// roomFor says whether c may be given another message: there is a limit to what
// all cursors may take.
func (a *consumers) roomFor(c *consumer) bool {
	return c.room() && (a.bytes < maxConsumerBytes+1<<20 || len(c.given) == 0)
}

// stopFetching forgets what was asked for: the queue answers it with an error.
func (a *consumers) stopFetching() {
	a.reading, a.sweepReading = false, false
	for _, c := range a.byName {
		c.fetching = false
	}
}

func (a *consumers) fetched(m consumerFetched) {
	switch {
	case m.sweep:
		a.fetchedSweep(m)
	case m.consumer != nil:
		a.fetchedFor(m)
	default:
		a.reading = false
		if m.err == nil { // else the queue tells when it has opened its store again
			a.distribute(m.answer)
			a.readOn()
			a.config.Changed()
		}
	}
}

// distribute gives what is new to all who have room and lie not behind.
func (a *consumers) distribute(f Fetched) {
	a.last = max(a.last, f.Last)
	for i := range f.Records {
		r := &f.Records[i]
		if r.Seq <= a.head {
			continue
		}
		needed := false
		for _, w := range a.handle.index.wanting(r.Seq, r.Message.Topic, r.Origin.Source) {
			c := w.consumer
			if c.live && r.Seq > c.through {
				if a.roomFor(c) {
					a.give(c, r, w.by)
				} else {
					c.fallBehind(r.Seq)
				}
			}
			needed = needed || c.needs(r.Seq, r.Seq-1)
		}
		a.head = r.Seq
		if !needed {
			a.leftover(r.Seq)
		}
	}
	a.head = max(a.head, f.Through)
	a.deliver()
}

// fetchedFor gives a consumer what was read for it.
func (a *consumers) fetchedFor(m consumerFetched) {
	c := m.consumer
	if a.byName[c.name] != c || c.token != m.token || !c.fetching {
		return
	}
	c.fetching = false
	if m.err != nil {
		return
	}
	if m.after > c.read { // what lies between was taken back meanwhile
		a.fetchFor(c)
		return
	}
	if a.expireFor(c, m.answer.Records) {
		return
	}
	before, all, gave := c.read, true, len(c.given)
	upTo := c.read
	var late []*persistence.Record // it is not given these
	now := a.config.Clock.Now()
	for i := range m.answer.Records {
		r := &m.answer.Records[i]
		s, own := a.ownBy(c, r)
		if own && past(until(r, a.maxAge), now) {
			own, late = false, append(late, r)
		}
		if own && !a.roomFor(c) {
			all = false
			break
		}
		if own {
			a.give(c, r, s)
		}
		upTo = r.Seq
	}
	if all {
		upTo = m.answer.Through
	}
	c.passed(before, upTo)
	for _, r := range late {
		if !a.needed(r.Seq, given{topic: r.Message.Topic, origin: r.Origin.Source}) {
			a.leftover(r.Seq)
		}
	}
	a.widen(c)
	if len(c.given) == gave { // few are for it: read in larger steps
		c.stride *= 4
	} else {
		c.stride = 0
	}
	if all && c.read >= a.head {
		c.live = true
		a.touch(c)
	}
	a.deliver()
	a.fetchFor(c)
	a.config.Changed()
}

// ownBy says by which subscription c is to be given a message that it lies
// behind of.
func (a *consumers) ownBy(c *consumer, r *persistence.Record) (s Subscription, own bool) {
	if r.Seq <= c.through && !c.open.Contains(r.Seq) {
		return s, false
	}
	if _, has := c.given[r.Seq]; has {
		return s, false
	}
	if s, own = a.handle.index.by(c, r.Seq, r.Message.Topic, r.Origin.Source); own {
		return s, true
	}
	// It was given and not acknowledged: that has to be finished, whatever has
	// become of the subscription [MQTT-3.10.4-3].
	return Subscription{QoS: 1}, r.Seq <= c.through
}

func (a *consumers) give(c *consumer, r *persistence.Record, s Subscription) {
	c.give(r, s, until(r, a.maxAge))
	a.outstanding++
	a.touch(c)
}

// touch notes that c is to be told something.
func (a *consumers) touch(c *consumer) {
	if !c.touched {
		c.touched = true
		a.touched = append(a.touched, c)
	}
}

// deliver hands over what was given.
func (a *consumers) deliver() {
	for _, c := range a.touched {
		batch := c.batch
		c.batch, c.touched = nil, false
		if c.receiver != nil && (len(batch) > 0 || c.live) {
			through := c.read
			if c.live {
				through = c.upTo(a.head)
			}
			c.receiver.Deliver(batch, through)
		}
	}
	clear(a.touched)
	a.touched = a.touched[:0]
}

// recall is told before messages are removed from the queue: what has not left
// must not leave any more. What has is removed, too; its receiver finishes it
// [S3.5].
func (a *consumers) recall(m Recall) {
	if m.keep {
		a.config.Queue.Tell(recalled{token: m.token, sent: a.handedOut()})
		return
	}
	for _, c := range a.byName {
		if c.receiver == nil || len(c.given) == 0 {
			continue
		}
		a.part(c, c.receiver.Recall())
		a.fetchFor(c)
	}
	a.config.Queue.Tell(recalled{token: m.token})
}

// forgetRemoved is for messages that were removed from the queue. Those who would
// have them delivered again, and again, forget them; others finish what has left.
func (a *consumers) forgetRemoved(set persistence.Ranges) {
	for _, c := range a.byName {
		r, forgets := c.receiver.(Forgetter)
		if !forgets {
			continue
		}
		before := len(c.given)
		for seq := range c.given {
			if set.Contains(seq) {
				r.Gone(seq)
				a.finish(c, seq, types.Sent)
			}
		}
		if len(c.given) < before {
			a.widen(c)
			a.measure(c)
			a.fetchFor(c)
		}
	}
}
