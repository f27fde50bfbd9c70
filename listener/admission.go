package listener

import (
	"github.com/mochi-mqtt/server/v2/packets"

	"github.com/mqttdb/mqttdb/types"
)

// arrive takes a publish that was read.
func (s *session) arrive(p publish) {
	e := &pending{session: s, publish: p}
	switch {
	case p.large:
		e.settled, e.refused = true, refusedTooLarge
	case reserved(p.message.Topic):
		e.settled, e.refused = true, refusedNotAllowed
		e.message.Payload = nil
	}
	s.server.stats.received.Add(1)
	s.mu.Lock()
	if s.ending != nil { // too late: the writer may be gone
		s.mu.Unlock()
		return
	}
	what := s.intake.arrive(e)
	if what == recorded {
		s.out.replies = appendAck(s.out.replies, packets.Pubrec, p.id, 0, s.version)
	}
	s.mu.Unlock()
	switch what {
	case fresh:
		s.admit()
	case recorded:
		s.signal()
	}
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
		p := s.intake.turn()
		if p == nil {
			break
		}
		if p.settled {
			s.signal()
			continue
		}
		s.mu.Unlock()
		took := s.server.options.Sink.Publish(p.message, s.origin(p), p.done, s.roomFunc)
		s.mu.Lock()
		full = full || s.intake.full() // the reader may have come meanwhile
		if !took {
			s.intake.putBack(p)
			if s.ending != nil && !s.ending.polite { // meanwhile: see endLocked
				s.intake.forsake(false)
			}
			s.waits, s.hasRoom = !s.hasRoom, false
		}
	}
	s.admits = false
	if full && !s.intake.full() {
		s.drain()
	}
}

// origin is given at QoS 2 only: at QoS 1 a repeat cannot be told from a new
// message once the first was answered.
func (s *session) origin(p *pending) types.Origin {
	if p.message.QoS < 2 {
		return types.Origin{}
	}
	return types.Origin{Source: s.source, ID: uint64(p.id)}
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
