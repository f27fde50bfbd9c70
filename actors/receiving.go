package actors

import (
	"errors"

	"github.com/mqttdb/mqttdb/broker"
	"github.com/mqttdb/mqttdb/persistence"
	"github.com/mqttdb/mqttdb/types"
)

// receiving is an inbound that stores what the broker sends in a queue of its own.
// What has come forms a group, which is one commit: messages, and what has to be
// known of their packet ids and of those that PUBREL has released. What comes
// meanwhile forms the next one. Acknowledgements follow the commit, in the order of
// what they are for [MQTT-4.6.0-2] [MQTT-4.6.0-4].
type receiving struct {
	*inboundKeeper
	self Ref[InboundMessage]
	acknowledging
	holding

	line  []*parcel // what is not answered
	bytes int

	packets packets
	stale   bool // packets have to be read before anything is decided
	reading bool // they are

	number  uint64    // of the latest group
	group   []*parcel // under way
	doubted []*parcel // the latest group, if it is not known whether it was stored

	full     bool // there is no room for messages; roomMade follows
	resting  bool // after an error; retryDue follows
	troubled bool // the last commit failed
}

const (
	groupMessages = 512
	groupBytes    = 256 << 10 // so that one commit takes it (see Enqueue)
	markBytes     = 64        // about what a mark of a packet id takes
)

// parcel is a packet from the broker that is not answered yet, or stands for the
// beginning of a link.
type parcel struct {
	broker.Inbound
	link    broker.Link // that it came over
	begins  bool        // it is the beginning of a link
	present bool        // the broker has kept the session
	size    int         // in memory, nearly, in bytes
	counted bool        // in what the handle tells

	stage parcelStage
	store bool              // entry is to be stored
	entry persistence.Entry // as those here know it
	marks []persistence.Mark
}

// parcelStage is how far a parcel has come.
type parcelStage uint8

const (
	parcelNew    parcelStage = iota
	parcelSorted             // it is known what is to be stored of it
	parcelSent               // to the queue
	parcelStored             // or there was nothing to store
)

// isRelease says whether p is a PUBREL.
func (p *parcel) isRelease() bool { return !p.begins && p.Kind == broker.Release }

func newReceiving(k *inboundKeeper, self Ref[InboundMessage]) *receiving {
	k.life++
	return &receiving{inboundKeeper: k, self: self, stale: true, packets: packets{most: k.config.Tombstones}}
}

func (r *receiving) started() { r.advance() }

func (r *receiving) receive(m InboundMessage) {
	switch m := m.(type) {
	case Linked:
		r.linked(m)
	case Arrived:
		r.link = m.Link
		for _, p := range m.Packets {
			size := arrivalSize + p.Message.Size()
			r.bytes += size
			r.line = append(r.line, &parcel{Inbound: p, link: m.Link, size: size})
		}
	case packetsRead:
		if m.life == r.life {
			r.read(m)
		}
	case groupStored:
		if m.life == r.life {
			r.stored(m.err)
		}
	case roomMade:
		r.full = false
	case retryDue:
		r.resting = false
	}
	r.advance()
	r.flush()
	r.hold(r.bytes, r.config.MaxHeld)
	r.handle.waiting.Store(int64(len(r.line)))
	r.config.Changed()
}

// linked begins with a new link. The broker sends again what it has not heard of,
// if it has kept the session. Where that is not known nothing is given up that it may
// not send again, nor what tells a repetition from a new message.
func (r *receiving) linked(m Linked) {
	r.holding = holding{link: m.Link}
	if m.Present {
		kept := r.line[:0]
		for _, p := range r.line {
			if again := p.isRelease() || p.Message.QoS > 0; again && p.stage < parcelSent {
				r.bytes -= p.size
				continue
			}
			kept = append(kept, p)
		}
		clear(r.line[len(kept):])
		r.line = kept
	}
	r.line = append(r.line, &parcel{begins: true, present: m.Present || m.Unsure, link: m.Link})
	r.stale = true
}

// advance does what can be done now.
func (r *receiving) advance() {
	if len(r.group) == 0 && !r.resting {
		if r.stale {
			r.ask()
		} else {
			r.sort()
			r.send()
		}
	}
	r.finish()
}

// ask reads what is stored of packet ids, once all that was told before is
// committed.
func (r *receiving) ask() {
	if r.reading {
		return
	}
	r.reading = true
	self, answer := r.self, packetsRead{life: r.life}
	r.config.Queue.Tell(ReadMarks{PacketMark, func(m Marks, err error) { answer.marks, answer.err = m.List, err }})
	r.config.Queue.Tell(Note{Reply: func(_ Noted, err error) {
		answer.err = errors.Join(answer.err, err)
		self.Tell(answer)
	}})
}

// read takes what is stored. Everything is decided anew by it.
func (r *receiving) read(m packetsRead) {
	r.reading = false
	if m.err != nil {
		r.rest(m.err)
		return
	}
	r.stale = false
	last := r.packets.load(m.marks)
	for _, p := range r.doubted {
		p.stage = parcelNew
		if last >= r.number {
			p.stage = parcelStored
		}
	}
	r.doubted = nil
	r.number = max(r.number, last)
	for _, p := range r.line {
		if p.stage == parcelSorted {
			p.stage = parcelNew
		}
	}
}

// sort finds out what is to be stored of what has come.
func (r *receiving) sort() {
	for i, p := range r.line {
		if p.stage != parcelNew {
			continue
		}
		p.stage, p.store, p.marks = parcelSorted, false, nil
		switch {
		case p.begins:
			p.marks = r.packets.begin(p.present)
		case p.Kind == broker.Release:
			p.marks = r.packets.released(p.ID)
		default:
			r.sortMessage(p, r.line[:i])
		}
		if !p.store && len(p.marks) == 0 {
			p.stage = parcelStored
		}
	}
}

// sortMessage is sort for a PUBLISH; before is what came before it.
func (r *receiving) sortMessage(p *parcel, before []*parcel) {
	m, hash, repeated := &p.Message, contentHash{}, false
	if m.QoS > 0 && !p.Dup {
		p.marks = r.packets.fresh(p.ID)
	}
	switch {
	case p.Kind == broker.Oversized: // it is read past each time
		if !p.counted {
			r.handle.oversized.Add(1)
			r.config.Logger.Warn("a message from the broker is too large and was passed over", "topic", m.Topic, "bytes", p.Size)
		}
		p.counted = true
		return
	case m.QoS == 1:
		repeated = p.Dup && p.among(before)
	case m.QoS == 2:
		hash = hashOf(m)
		repeated = r.packets.repeats(p.ID, p.Dup, hash)
	}
	if repeated {
		if !p.counted {
			r.handle.repeated.Add(1)
		}
		p.counted = true
		return
	}
	if p.entry.Message, p.store = r.config.Accept(*m); !p.store {
		return
	}
	p.entry.Enqueued = r.config.Clock.Now()
	if m.QoS == 2 {
		p.marks = append(p.marks, r.packets.begun(p.ID, hash))
	}
}

// among says whether the message of p, at QoS 1, is one of these, from the same
// link.
func (p *parcel) among(list []*parcel) bool {
	for _, q := range list {
		if q.ID == p.ID && q.store && q.Message.QoS == 1 && q.link == p.link && q.Message.Topic == p.Message.Topic && string(q.Message.Payload) == string(p.Message.Payload) {
			return true
		}
	}
	return false
}

// send tells the queue the next group, if there is something to be stored.
func (r *receiving) send() {
	group, entries, marks := r.gather(groupMessages)
	for len(entries) > 0 {
		cost, self := CostOf(entries), r.self
		err := r.config.Queue.Admission().TryAcquire(cost)
		switch {
		case err == nil:
		case err == types.ErrBusy && len(entries) > 1: // near a limit of the queue
			group, entries, marks = r.gather(len(entries) / 2)
			continue
		case err == types.ErrBusy:
			r.full = true
			r.config.Queue.Admission().Promise(cost, func(error) { self.Tell(roomMade{}) })
			group, entries, marks = r.gather(0)
		default:
			r.rest(err)
			return
		}
		break
	}
	if len(group) == 0 {
		return
	}
	for _, p := range group {
		p.stage = parcelSent
	}
	r.group = group
	r.number++
	marks = append(marks, lastPacket(r.number))
	self, life := r.self, r.life
	stored := func(err error) { self.Tell(groupStored{life, err}) }
	if len(entries) == 0 {
		r.config.Queue.Tell(Note{Marks: marks, Reply: func(_ Noted, err error) { stored(err) }})
		return
	}
	r.config.Queue.Tell(Enqueue{
		Entries: entries, Note: &Note{Marks: marks},
		Done: CompletionFunc(func(_ types.Seq, err error) { stored(err) }),
	})
}

// gather returns what the next group is to be, with at most so many messages. PUBREL
// does not wait for messages for which there is no room [S8.1].
func (r *receiving) gather(most int) (group []*parcel, entries []persistence.Entry, marks []persistence.Mark) {
	room, bytes, marked := !r.full, 0, 0
	for _, p := range r.line {
		if p.stage != parcelSorted || !room && !p.begins && !p.isRelease() {
			continue
		}
		if p.store {
			size := p.entry.Message.Size()
			if len(entries) == most || len(entries) > 0 && bytes+size > groupBytes || marked+size > groupBytes && marked > groupBytes/2 {
				room = false
				continue
			}
			bytes += size
			entries = append(entries, p.entry)
		}
		group = append(group, p)
		marks = append(marks, p.marks...)
		marked += markBytes * len(p.marks)
	}
	return group, entries, marks
}

// stored takes what became of the group under way.
func (r *receiving) stored(err error) {
	group := r.group
	r.group = nil
	if err != nil {
		r.doubted, r.stale = group, true
		r.rest(err)
		return
	}
	r.troubled = false
	for _, p := range group {
		p.stage = parcelStored
	}
}

// rest waits before the store is asked again.
func (r *receiving) rest(why error) {
	if !r.troubled {
		r.config.Logger.Warn("what the broker sends cannot be stored; it is not acknowledged, and that is tried again", "error", why, "again_in", r.config.RetryAfter)
	}
	r.troubled, r.resting = true, true
	self := r.self
	r.config.Clock.AfterFunc(r.config.RetryAfter, func() { self.Tell(retryDue{}) })
}

// finish acknowledges what is stored: messages in their order, and PUBRELs in
// theirs.
func (r *receiving) finish() {
	kept, wait, waitRelease := r.line[:0], false, false
	for _, p := range r.line {
		stored := p.stage == parcelStored
		switch {
		case p.begins:
			if !stored {
				kept = append(kept, p)
			}
			continue
		case p.isRelease():
			waitRelease = waitRelease || !stored
			stored = !waitRelease
		default:
			wait = wait || !stored
			stored = !wait
		}
		if !stored {
			kept = append(kept, p)
			continue
		}
		r.bytes -= p.size
		r.answer(p)
	}
	clear(r.line[len(kept):])
	if r.line = kept; len(kept) == 0 {
		r.line = nil
	}
}

// answer acknowledges p.
func (r *receiving) answer(p *parcel) {
	if p.store {
		r.handle.received.Add(1)
	}
	switch {
	case p.isRelease():
		r.acknowledge(p.link, broker.Ack{Kind: broker.PubComp, ID: p.ID})
	case p.Message.QoS == 1:
		r.acknowledge(p.link, broker.Ack{Kind: broker.PubAck, ID: p.ID})
	case p.Message.QoS == 2:
		r.acknowledge(p.link, broker.Ack{Kind: broker.PubRec, ID: p.ID})
	}
}

// interrupted implements role: what was not acknowledged the broker repeats on
// the next link.
func (r *receiving) interrupted(InboundMessage) {
	if r.link != nil {
		r.link.Close(false)
	}
	r.handle.waiting.Store(0)
}

// stopping implements role: what came at QoS 0, which nobody sends again, is
// stored.
func (r *receiving) stopping() {
	if r.stale || r.resting {
		return
	}
	r.sort()
	var entries []persistence.Entry
	for _, p := range r.line {
		if p.stage == parcelSorted && p.store && p.Message.QoS == 0 {
			entries = append(entries, p.entry)
		}
	}
	if len(entries) > 0 && r.config.Queue.Admission().TryAcquire(CostOf(entries)) == nil {
		r.config.Queue.Tell(Enqueue{Entries: entries, Done: CompletionFunc(func(types.Seq, error) {})})
	}
}
