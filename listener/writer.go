package listener

import (
	"time"

	"github.com/mochi-mqtt/server/v2/packets"
)

// write is the client's writer: what follows a commit, and everything that goes
// to the socket, happens here. It returns when the session has ended and all
// that came from the client is settled, or when the server gives up waiting for
// that.
func (s *session) write() {
	defer close(s.settled)
	defer s.conn.Close()
	w := writer{session: s, open: true}
	for {
		select {
		case <-s.wake:
		case <-s.server.abandoned:
			return
		}
		for w.step() {
		}
		if w.finished() {
			return
		}
	}
}

// writer is what the writing goroutine keeps between its steps.
type writer struct {
	*session
	buf  []byte
	due  []*pending
	open bool // the connection can be written to
	mute bool // nothing is acknowledged any more, for something before it was not [MQTT-4.6.0-2]
}

// step settles and writes what there is, and says whether there was anything.
func (w *writer) step() bool {
	w.mu.Lock()
	w.due = w.intake.answer(w.due[:0])
	w.mu.Unlock()

	w.buf = w.buf[:0]
	acked := w.answer()
	settled := len(w.due) > 0
	clear(w.due)
	w.admit()
	w.prepare()

	w.mu.Lock()
	large := w.owes()
	var sent int
	w.buf, sent = w.out.take(w.buf)
	if w.durable != nil {
		var more int
		w.buf, more = w.durable.take(w.buf)
		sent += more
		if len(w.durable.expired) > 0 { // prepare tells the store
			w.signal()
		}
	}
	w.mu.Unlock()
	if large {
		w.drain()
	}
	if len(w.buf) == 0 {
		return settled
	}
	w.flush(acked > 0)
	if w.open {
		w.server.stats.acked.Add(uint64(acked))
		w.server.stats.delivered.Add(uint64(sent))
	}
	return true
}

// flush writes buf. Once that fails the session ends; what is committed is
// settled all the same.
func (w *writer) flush(acks bool) {
	if w.open {
		if acks {
			w.extend()
		}
		if _, err := w.conn.Write(w.buf); err != nil {
			w.open = false
			w.end(ending{err: err})
			w.conn.Close()
		}
		w.server.stats.packetsOut.Add(countPackets(w.buf))
		w.server.stats.bytesOut.Add(uint64(len(w.buf)))
	}
	if cap(w.buf) > 4*maxJoined {
		w.buf = nil // a large message was in it
	}
}

// extend gives acknowledgements that a patient ending has waited for the time
// to be written.
func (w *writer) extend() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.ending != nil && w.ending.patient {
		w.conn.SetWriteDeadline(time.Now().Add(farewell))
	}
}

// answer fans out what is due and appends its acknowledgements to buf. It
// returns how many.
func (w *writer) answer() (acked int) {
	for _, p := range w.due {
		code := byte(0)
		if p.err == nil && p.refused == 0 {
			if !p.known {
				w.server.route(&p.message, w.session)
			}
		} else {
			var answered bool
			if code, answered = w.refuse(p); !answered {
				continue
			}
		}
		if !w.mute && w.acknowledge(p, code) {
			acked++
		}
	}
	return acked
}

// refuse counts a message that was not stored, and says whether and how it is
// answered.
func (w *writer) refuse(p *pending) (code byte, answered bool) {
	if p.refused == 0 {
		p.refused = refusalOf(p.err)
	}
	w.server.stats.refuse(p.refused)
	if p.breaks() {
		w.mute = true
		return 0, false
	}
	w.warn(p)
	return p.refused.code(), true
}

// acknowledge appends the answer to p, if there is to be one.
func (w *writer) acknowledge(p *pending, code byte) bool {
	switch p.message.QoS {
	case 1:
		w.buf = appendAck(w.buf, packets.Puback, p.id, code, w.version)
	case 2:
		if w.version != mqtt5 {
			code = 0
		}
		w.mu.Lock()
		due := w.intake.record(p, code)
		w.mu.Unlock()
		if !due {
			return false
		}
		if code >= codeUnspecified && w.isDurable() { // it may be stored in some queue
			w.server.options.Sessions.Release(w.key, []uint16{p.id}, func([]bool, error) {})
		}
		w.buf = appendAck(w.buf, packets.Pubrec, p.id, code, w.version)
	default:
		return false
	}
	return true
}

// warn logs a refused message, once per client and minute.
func (w *writer) warn(p *pending) {
	if w.server.logged.first(w.about("a refused message"), time.Now()) {
		about := []any{"topic", p.message.Topic, "bytes", p.publish.size, "reason", p.refused}
		if p.err != nil {
			about = append(about, "error", p.err)
		}
		w.log.Warn("message refused (others of this client are only counted for a minute)", about...)
	}
}

// finished says farewell once the session is ending, and says whether nothing
// is left to do.
func (w *writer) finished() bool {
	w.mu.Lock()
	why, answered, idle := w.ending, w.intake.answers.len() == 0, w.intake.idle()
	w.mu.Unlock()
	if why == nil {
		return false
	}
	if w.open && (!why.patient || answered) {
		w.open = false
		if why.code != 0 {
			w.conn.SetWriteDeadline(time.Now().Add(farewell))
			w.conn.Write(encodeDisconnect(why.code, w.version))
		}
		w.conn.Close()
	}
	return idle
}

// storeFault ends the session of a client whose message could not be stored.
type storeFault struct{ err error }

func (e *storeFault) Error() string {
	return "its message could not be stored, it is to connect and send it again: " + e.err.Error()
}

func (e *storeFault) Unwrap() error { return e.err }
