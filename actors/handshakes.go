package actors

import (
	"github.com/mqttdb/mqttdb/persistence"
	"github.com/mqttdb/mqttdb/types"
)

// handshakes is what the session at the broker may know of messages with QoS 2
// that are not journalled as released: those that this process has sent with QoS
// 2 and that are not done, and those that an earlier process may have sent, which
// are the first ones that are pending, as many as its window had [S3.2]. They are
// sent again with QoS 2 and DUP, or finished by PUBREL, whatever is configured
// meanwhile: to the broker their packet ids are taken.
type handshakes struct {
	begun persistence.Ranges // by this process, and not recorded as done
	doubt doubt              // about those of an earlier one
}

// opened is for a store that this process has not seen before, whose newest
// message has that number.
func (h *handshakes) opened(last types.Seq) { *h = handshakes{doubt: doubt{upTo: last}} }

// linked is for a link: window is the largest for QoS 2 that was used with the
// session; if the broker does not have that any more, it knows of nothing.
func (h *handshakes) linked(present bool, window int) {
	if !present {
		h.begun, window = nil, 0
		h.doubt.left = 0
	}
	h.doubt.linked(window)
}

// knows says whether the broker may know of a message; it is asked for messages
// with QoS 2 in their order, before begin.
func (h *handshakes) knows(seq types.Seq) bool {
	return h.begun.Contains(seq) || h.doubt.left > 0 && seq <= h.doubt.upTo
}

// begin is for a message that is sent with QoS 2, or finished by PUBREL. What was
// abandoned is not one of those that there is doubt about: it may be over, and that
// lost with a power cut.
func (h *handshakes) begin(seq types.Seq, abandoned bool) {
	if !h.begun.Contains(seq) {
		if !abandoned {
			h.doubt.about(seq)
		}
		h.begun.Add(persistence.Range{First: seq, Last: seq})
	}
}

// recalled tells the queue what is in flight: what has a place in the window,
// and what the session may know of.
func (c *connection) recalled(token uint64) recalled {
	m := recalled{token: token, sent: c.window.all(), unknown: !c.handshakes.doubt.known, doubt: c.handshakes.doubt}
	for _, r := range c.begun {
		m.sent.Add(r)
	}
	return m
}

// forgetCauses is for what was recorded as done.
func (c *connection) forgetCauses(set persistence.Ranges) {
	for seq := range c.causes {
		if set.Contains(seq) {
			delete(c.causes, seq)
		}
	}
}

// done is for messages that were recorded as done.
func (h *handshakes) done(set persistence.Ranges) {
	if len(h.begun) == 0 {
		return
	}
	for _, r := range set {
		h.begun.Remove(r)
	}
}
