package listener

import (
	"errors"

	"github.com/mochi-mqtt/server/v2/packets"

	"github.com/mqttdb/mqttdb/types"
)

// pending is what a publish that was read becomes.
func (s *session) pending(p publish) *pending {
	e := &pending{session: s, publish: p}
	if p.message.QoS == 2 {
		e.receipt = &receipt{once: types.Once{Rule: types.Open, Hash: contentHash(&e.message), Dup: p.dup}}
	}
	switch {
	case p.large:
		e.settled, e.refused = true, refusedTooLarge
	case reserved(p.message.Topic), !s.allowed().mayPublish(p.message.Topic):
		e.settled, e.refused = true, refusedNotAllowed
		e.message.Payload = nil
	}
	return e
}

// arrive takes the publishes that were read into the books. They wait for
// admit.
func (s *session) arrive() {
	if len(s.arrived) == 0 {
		return
	}
	s.server.stats.received.Add(uint64(len(s.arrived)))
	again := false
	s.mu.Lock()
	if s.ending == nil { // else too late: the writer may be gone
		for _, p := range s.arrived {
			if s.intake.arrive(p) == recorded {
				s.out.replies = appendAck(s.out.replies, packets.Pubrec, p.id, 0, s.version)
				again = true
			}
		}
	}
	s.mu.Unlock()
	if again {
		s.signal()
	}
	clear(s.arrived)
	s.arrived = s.arrived[:0]
	if cap(s.arrived) > maxBatch {
		s.arrived = nil
	}
}

// handOn gives what was read to the Sink.
func (s *session) handOn() {
	s.server.stats.packetsIn.Add(s.in.packets)
	s.server.stats.bytesIn.Add(s.in.bytes)
	s.in.packets, s.in.bytes = 0, 0
	if s.pubrels { // before what uses the ids again
		s.pubrels = false
		s.release()
	}
	s.arrive()
	s.admit()
}

// admit hands to the Sink what may go there now, in order. Whoever made that
// possible calls it, after the change; one of them does the work for all, and
// looks again before it leaves.
func (s *session) admit() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.admits {
		return
	}
	s.admits = true
	full := s.intake.full()
	for !s.waits {
		s.batch = s.intake.turn(s.batch[:0])
		s.answerable()
		if len(s.batch) == 0 {
			break
		}
		s.mu.Unlock()
		taken := s.hand()
		s.mu.Lock()
		full = full || s.intake.full() // the reader may have come meanwhile
		if taken < len(s.batch) {
			s.intake.putBack(len(s.batch) - taken)
			if s.ending != nil && !s.ending.polite { // meanwhile: see endLocked
				s.intake.forsake(false)
			}
			s.waits, s.hasRoom = !s.hasRoom, false
		}
		clear(s.batch)
	}
	s.admits = false
	if full && !s.intake.full() {
		s.drain()
	}
}

// hand gives the batch to the Sink and returns how many it has taken.
func (s *session) hand() int {
	for _, p := range s.batch {
		s.passages = append(s.passages, types.Passage{Message: p.message, Origin: s.origin(p), Once: s.once(p), Done: p.done})
	}
	taken := s.server.options.Sink.Publish(s.passages, s.roomFunc)
	clear(s.passages)
	s.passages = s.passages[:0]
	return taken
}

// answerable wakes the writer if there is something to be answered. The lock is
// held.
func (s *session) answerable() {
	if s.intake.answers.len() > 0 && s.intake.answers.front().settled {
		s.signal()
	}
}

// origin has an id at QoS 2 only: at QoS 1 a repeat cannot be told from a new
// message once the first was answered.
func (s *session) origin(p *pending) types.Origin {
	if p.message.QoS < 2 {
		return types.Origin{Source: s.source}
	}
	return types.Origin{Source: s.source, ID: uint64(p.id)}
}

// once says how the Sink tells a repeat of p from a new message: where the session
// is kept, and with it what the client knows of its exchanges.
func (s *session) once(p *pending) *types.Once {
	if p.receipt == nil || !s.isDurable() {
		return nil
	}
	return &p.receipt.once
}

// room is called by the Sink when it has room again. It leaves the work to the
// writer.
func (s *session) room() {
	s.mu.Lock()
	if s.waits {
		s.waits = false
	} else {
		s.hasRoom = true
	}
	s.mu.Unlock()
	s.signal()
}

// breaks says whether p ends the session: a client of 3.1.1 keeps a message
// only if it gets no answer, and sends it again once it has connected again.
func (p *pending) breaks() bool {
	return p.err != nil && p.session.version != mqtt5 && p.message.QoS > 0 && !refusalOf(p.err).forGood()
}

// done is called by the Sink when p is committed or refused. It leaves the work
// to the writer.
func (p *pending) done(err error) {
	s := p.session
	s.mu.Lock()
	if p.known = errors.Is(err, types.ErrRepeated); p.known {
		err = nil
	}
	p.err, p.settled = err, true
	if p.breaks() {
		// Now, and not when the writer comes to it: what the client sent after
		// this one must not be stored before it.
		s.endLocked(ending{err: &storeFault{err}, code: codeUnspecified, patient: true})
	}
	first := s.intake.answers.len() > 0 && s.intake.answers.front() == p
	s.mu.Unlock()
	if first { // the others are answered after it
		s.signal()
	}
}
