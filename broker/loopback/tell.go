package loopback

import (
	"maps"
	"slices"

	"github.com/mqttdb/mqttdb/broker"
	"github.com/mqttdb/mqttdb/types"
)

// resume sends what the session has in flight again, in order, and then what it
// has not sent yet [MQTT-4.4.0-1].
func (l *link) resume() {
	var again []broker.Inbound
	for _, d := range l.session.queue {
		switch {
		case d.id != 0 && d.released:
			again = append(again, broker.Inbound{Kind: broker.Release, ID: d.id})
		case d.id != 0:
			again = append(again, l.inbound(d, true))
		}
	}
	if len(again) > 0 {
		l.queueEvent(broker.Received{Packets: again})
	}
	l.session.send()
	l.broker.change()
}

// inbound is how a delivery arrives.
func (l *link) inbound(d *delivery, dup bool) broker.Inbound {
	in := broker.Inbound{Kind: broker.Message, ID: d.id, Dup: dup, Message: d.message}
	limit, most, size := l.options.MaxPacket, l.options.MaxPayload, len(d.message.Payload)
	head := 2 + len(d.message.Topic) + 2
	if limit > 0 && head+size > limit || most > 0 && size > most {
		in.Kind, in.Size, in.Message.Payload = broker.Oversized, size, nil
		if limit > 0 && head > limit {
			in.Message.Topic = ""
		}
	}
	return in
}

// acknowledge sends acknowledgements, unless they are withheld.
func (l *link) acknowledge(acks []broker.Ack) {
	if l.broker.faults.withhold {
		l.owed = append(l.owed, acks...)
		return
	}
	if len(acks) == 0 {
		return
	}
	if l.broker.faults.reorder {
		l.broker.chance.Shuffle(len(acks), func(i, j int) { acks[i], acks[j] = acks[j], acks[i] })
	}
	l.queueEvent(broker.Acked{Acks: acks})
}

// queueEvent lets an event be told behind those before it.
func (l *link) queueEvent(e broker.Event) {
	if l.over {
		return
	}
	l.queue = append(l.queue, e)
	l.tell()
}

// end is the end of the link; err is what Down says. After a Close, or from a
// frozen broker, nothing that is still under way is told.
func (l *link) end(err error, will bool) {
	if l.over {
		return
	}
	if l.closed || l.broker.faults.frozen {
		l.queue = nil
	}
	l.waiting, l.owed = nil, nil
	l.queueEvent(broker.Down{Err: err})
	l.over = true
	if l.session.link == l {
		l.session.left()
	}
	if will && l.options.Will != nil {
		l.broker.accept(*l.options.Will)
	}
	l.broker.change()
}

// tell sees to it that the queue is told by one goroutine, which is never the
// caller's.
func (l *link) tell() {
	if l.telling || len(l.queue) == 0 {
		return
	}
	l.telling = true
	l.broker.later(l.drain)
}

func (l *link) drain() {
	l.broker.mu.Lock()
	defer l.broker.mu.Unlock()
	for len(l.queue) > 0 {
		e := l.queue[0]
		if _, down := e.(broker.Down); l.broker.faults.frozen && !down {
			break // Thaw goes on
		}
		l.queue = l.queue[1:]
		l.broker.mu.Unlock()
		l.events(e)
		l.broker.mu.Lock()
	}
	l.telling = false
}

// retainedFor lists the topics of the retained messages that a filter selects.
func (b *Broker) retainedFor(filter string) []string {
	var topics []string
	for _, topic := range slices.Sorted(maps.Keys(b.retained)) {
		if types.Matches(filter, topic) {
			topics = append(topics, topic)
		}
	}
	return topics
}
