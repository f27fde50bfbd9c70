package loopback

import (
	"fmt"
	"maps"
	"slices"

	"github.com/mqttdb/mqttdb/broker"
	"github.com/mqttdb/mqttdb/types"
)

// window is how many messages of QoS 1 and 2 a client gets before it
// acknowledges one: as many as mosquitto sends.
const window = 20

// session is what the broker remembers of a client.
type session struct {
	broker  *Broker
	id      string
	clean   bool
	link    *link // nil: not connected
	filters map[string]types.QoS
	open    map[uint16]bool // QoS 2 messages of the client whose PUBREL has not come
	nextID  uint16
	queue   []*delivery // to the client, in order
}

// delivery is a message on its way to the client.
type delivery struct {
	message  types.Message
	id       uint16 // 0: not sent yet
	released bool   // PUBREC came
}

// sessionFor finds or makes the session of a client that connects.
func (b *Broker) sessionFor(o broker.ConnectOptions) (s *session, present bool) {
	id := o.ClientID
	if id == "" {
		b.nameless++
		id = fmt.Sprintf("nameless/%d", b.nameless)
	}
	s = b.sessions[id]
	if s != nil && s.link != nil {
		s.link.end(fmt.Errorf("another client took over the session of %q", id), true)
		s = b.sessions[id] // a clean one is gone now
	}
	if s != nil && !o.CleanSession {
		return s, true
	}
	s = &session{broker: b, id: id, clean: o.CleanSession, filters: make(map[string]types.QoS), open: make(map[uint16]bool)}
	b.sessions[id] = s
	return s, false
}

// left ends what ends with the link.
func (s *session) left() {
	s.link = nil
	if s.clean {
		delete(s.broker.sessions, s.id)
	}
	s.queue = slices.DeleteFunc(s.queue, func(d *delivery) bool { return d.message.QoS == 0 })
}

// offer gives a message to the client if it has subscribed to it.
func (s *session) offer(m types.Message) {
	granted, subscribed := types.QoS(0), false
	for filter, qos := range s.filters {
		if types.Matches(filter, m.Topic) {
			granted, subscribed = max(granted, qos), true
		}
	}
	if subscribed {
		s.give(m, granted)
	}
}

func (s *session) give(m types.Message, granted types.QoS) {
	m.QoS = min(m.QoS, granted)
	if m.QoS == 0 && s.link == nil {
		return
	}
	s.queue = append(s.queue, &delivery{message: m})
	s.send()
}

// send sends what the client's window has room for.
func (s *session) send() {
	if s.link == nil || s.broker.faults.frozen {
		return
	}
	var out []broker.Inbound
	inFlight := 0
	s.queue = slices.DeleteFunc(s.queue, func(d *delivery) bool {
		switch {
		case d.id != 0:
			inFlight++
		case d.message.QoS == 0:
			out = append(out, s.link.inbound(d, false))
			return true
		case inFlight < window:
			inFlight++
			d.id = s.freeID()
			out = append(out, s.link.inbound(d, false))
			if s.broker.chance.Float64() < s.broker.faults.duplicate {
				out = append(out, s.link.inbound(d, true))
			}
		}
		return false
	})
	if len(out) > 0 {
		s.link.queueEvent(broker.Received{Packets: out})
	}
}

func (s *session) freeID() uint16 {
	for {
		s.nextID++
		taken := slices.ContainsFunc(s.queue, func(d *delivery) bool { return d.id == s.nextID })
		if s.nextID != 0 && !taken {
			return s.nextID
		}
	}
}

// answered takes an acknowledgement of the client; one that fits nothing is
// ignored.
func (s *session) answered(a broker.Ack) (release bool) {
	i := slices.IndexFunc(s.queue, func(d *delivery) bool { return d.id == a.ID })
	if i < 0 {
		return a.Kind == broker.PubRec // the client wants to come to an end with it
	}
	d := s.queue[i]
	switch {
	case a.Kind == broker.PubRec && d.message.QoS == 2:
		d.released = true
		return true
	case a.Kind == broker.PubAck && d.message.QoS == 1, a.Kind == broker.PubComp && d.released:
		s.queue = slices.Delete(s.queue, i, i+1)
	}
	return false
}

// links are those that are up, in order of their sessions.
func (b *Broker) links() []*link {
	var up []*link
	for _, id := range slices.Sorted(maps.Keys(b.sessions)) {
		if l := b.sessions[id].link; l != nil {
			up = append(up, l)
		}
	}
	return up
}
