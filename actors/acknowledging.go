package actors

import "github.com/mqttdb/mqttdb/broker"

// acknowledging collects the acknowledgements of what the broker sends.
type acknowledging struct {
	acks  []broker.Ack
	acked broker.Link // what acks are for
}

// acknowledge notes what flush writes: many at once.
func (a *acknowledging) acknowledge(l broker.Link, ack broker.Ack) {
	if a.acked != l {
		a.flush()
	}
	a.acked = l
	a.acks = append(a.acks, ack)
}

func (a *acknowledging) flush() {
	if len(a.acks) > 0 {
		_ = a.acked.Acknowledge(a.acks) // a link that is closed has told so: the broker repeats what it did not hear of
		a.acks = a.acks[:0]
	}
	a.acked = nil
}

// holding keeps the broker from sending more than may wait here.
type holding struct {
	link broker.Link // the latest
	held bool        // it was told to keep the rest back
}

// hold looks at how many bytes wait, of at most so many.
func (h *holding) hold(bytes, most int) {
	l, ok := h.link.(broker.Holder)
	full := bytes > most || h.held && bytes > most/2
	if ok && full != h.held {
		h.held = full
		l.Hold(full)
	}
}
