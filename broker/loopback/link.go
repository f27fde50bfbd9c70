package loopback

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/mqttdb/mqttdb/broker"
	"github.com/mqttdb/mqttdb/types"
)

// link is a client's side. The broker's mutex guards all of it.
type link struct {
	broker  *Broker
	session *session
	options broker.ConnectOptions
	events  func(broker.Event)

	untilCut int // packets, 0: never
	waiting  []func()
	owed     []broker.Ack // withheld

	queue   []broker.Event // not yet told
	telling bool           // a goroutine tells, or soon will
	closed  bool           // Close was called
	over    bool           // Down is in the queue
}

var _ broker.Link = (*link)(nil)

// Publish implements broker.Link.
func (l *link) Publish(p []broker.Publish) error {
	for i := range p {
		if err := p[i].Check(); err != nil {
			return fmt.Errorf("publish: %w", err)
		}
	}
	p, withheld := worth(p)
	return l.send("publish", func() {
		if len(withheld) > 0 {
			l.queueEvent(broker.Withheld{Tags: withheld})
		}
		l.publish(p)
	})
}

// worth is a copy of what of p is worth sending now; the rest is withheld.
func worth(p []broker.Publish) (now []broker.Publish, withheld []uint64) {
	for i := range p {
		if until := p[i].Until; !until.IsZero() && !time.Now().Before(until) {
			withheld = append(withheld, p[i].Tag)
		} else {
			now = append(now, p[i])
		}
	}
	return now, withheld
}

// Release implements broker.Link.
func (l *link) Release(ids []uint16) error {
	for _, id := range ids {
		if err := broker.CheckID(id); err != nil {
			return fmt.Errorf("release: %w", err)
		}
	}
	ids = slices.Clone(ids)
	return l.send("release", func() { l.release(ids) })
}

// Acknowledge implements broker.Link.
func (l *link) Acknowledge(acks []broker.Ack) error {
	for _, a := range acks {
		if err := a.Check(); err != nil {
			return fmt.Errorf("acknowledge: %w", err)
		}
	}
	acks = slices.Clone(acks)
	return l.send("acknowledge", func() { l.answered(acks) })
}

// Subscribe implements broker.Link.
func (l *link) Subscribe(id uint16, filters []broker.Filter) error {
	for _, f := range filters {
		if err := f.Check(); err != nil {
			return fmt.Errorf("subscribe: %w", err)
		}
	}
	if err := checkAsk(id, len(filters)); err != nil {
		return fmt.Errorf("subscribe: %w", err)
	}
	filters = slices.Clone(filters)
	return l.send("subscribe", func() { l.subscribe(id, filters) })
}

// Unsubscribe implements broker.Link.
func (l *link) Unsubscribe(id uint16, filters []string) error {
	for _, f := range filters {
		if err := types.CheckFilter(f); err != nil {
			return fmt.Errorf("unsubscribe: %w", err)
		}
	}
	if err := checkAsk(id, len(filters)); err != nil {
		return fmt.Errorf("unsubscribe: %w", err)
	}
	filters = slices.Clone(filters)
	return l.send("unsubscribe", func() {
		if l.lost() {
			return
		}
		for _, f := range filters {
			delete(l.session.filters, f)
		}
		l.queueEvent(broker.Unsubscribed{ID: id})
		l.broker.change()
	})
}

func checkAsk(id uint16, filters int) error {
	if filters == 0 {
		return errors.New("no filters")
	}
	return broker.CheckID(id)
}

// Close implements broker.Link.
func (l *link) Close(graceful bool) {
	l.broker.mu.Lock()
	defer l.broker.mu.Unlock()
	if l.over {
		return
	}
	l.closed = true
	// A frozen broker does not get to see the DISCONNECT.
	l.end(nil, !graceful || l.broker.faults.frozen)
}

// send lets the broker do what the client asks for: at once, or when it thaws.
func (l *link) send(what string, do func()) error {
	l.broker.mu.Lock()
	defer l.broker.mu.Unlock()
	if l.closed || l.over {
		return fmt.Errorf("%s: link %w", what, types.ErrClosed)
	}
	if l.broker.faults.frozen {
		l.waiting = append(l.waiting, do)
		return nil
	}
	do()
	return nil
}

// catchUp does what waited, and sends what waited.
func (l *link) catchUp() {
	waiting := l.waiting
	l.waiting = nil
	for _, do := range waiting {
		if !l.over {
			do()
		}
	}
	if !l.over {
		l.session.send()
		l.tell()
	}
}

// lost counts a packet of the client, and says whether the link was cut before
// the broker saw it.
func (l *link) lost() bool { seen, cut := l.count(); l.cutIf(cut); return !seen }

// count says whether the broker sees the next packet, and whether the link is
// cut with it.
func (l *link) count() (seen, cut bool) {
	if l.untilCut == 0 {
		return true, false
	}
	if l.untilCut--; l.untilCut > 0 {
		return true, false
	}
	return l.broker.chance.IntN(2) == 0, true
}

func (l *link) cutIf(cut bool) {
	if cut {
		l.end(errors.New("the loopback broker cut the link after its last packet"), true)
	}
}

func (l *link) publish(p []broker.Publish) {
	var acks []broker.Ack
	qos0, cut := false, false
	for i := range p {
		var seen bool
		seen, cut = l.count()
		if reject := l.broker.faults.reject; reject != "" && types.Matches(reject, p[i].Message.Topic) {
			seen, cut = false, true
		}
		if seen {
			acks = l.take(&p[i], acks)
			qos0 = qos0 || p[i].Message.QoS == 0
		}
		if cut {
			break
		}
	}
	if cut {
		acks = acks[:l.broker.chance.IntN(len(acks)+1)]
	} else if qos0 {
		l.queueEvent(broker.Written{Tag: p[len(p)-1].Tag})
	}
	l.acknowledge(acks)
	l.cutIf(cut)
}

func (l *link) take(p *broker.Publish, acks []broker.Ack) []broker.Ack {
	switch p.Message.QoS {
	case 1:
		acks = append(acks, broker.Ack{Kind: broker.PubAck, ID: p.ID})
	case 2:
		acks = append(acks, broker.Ack{Kind: broker.PubRec, ID: p.ID})
		if l.session.open[p.ID] {
			return acks
		}
		l.session.open[p.ID] = true
	}
	l.broker.accept(p.Message)
	return acks
}

func (l *link) release(ids []uint16) {
	var acks []broker.Ack
	cut := false
	for _, id := range ids {
		var seen bool
		if seen, cut = l.count(); seen {
			delete(l.session.open, id)
			acks = append(acks, broker.Ack{Kind: broker.PubComp, ID: id})
		}
		if cut {
			acks = acks[:l.broker.chance.IntN(len(acks)+1)]
			break
		}
	}
	l.acknowledge(acks)
	l.cutIf(cut)
}

func (l *link) answered(acks []broker.Ack) {
	var releases []broker.Inbound
	cut := false
	for _, a := range acks {
		var seen bool
		if seen, cut = l.count(); seen && l.session.answered(a) {
			releases = append(releases, broker.Inbound{Kind: broker.Release, ID: a.ID})
		}
		if cut {
			releases = releases[:l.broker.chance.IntN(len(releases)+1)]
			break
		}
	}
	if len(releases) > 0 {
		l.queueEvent(broker.Received{Packets: releases})
	}
	if !cut {
		l.session.send()
	}
	l.cutIf(cut)
}

func (l *link) subscribe(id uint16, filters []broker.Filter) {
	if l.lost() {
		return
	}
	codes := make([]byte, len(filters))
	for i, f := range filters {
		l.session.filters[f.Topic] = f.QoS
		codes[i] = byte(f.QoS)
	}
	if l.over {
		return // cut with this packet, which the broker has seen
	}
	l.queueEvent(broker.Subscribed{ID: id, Codes: codes})
	for _, f := range filters {
		for _, topic := range l.broker.retainedFor(f.Topic) {
			l.session.give(l.broker.retained[topic], f.QoS)
		}
	}
	l.broker.change()
}
