package sidecar

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/mqttdb/mqttdb/types"
)

// What is stored at once: so many messages, at most.
const (
	batchMessages = 1024
	batchBytes    = 1 << 20
)

// storePause is how long a store that is in trouble is left alone.
const storePause = 500 * time.Millisecond

// item is a frame for a broker.
type item struct {
	frame   Frame
	target  Target        // of all but PUB
	message MessageHeader // of PUB
	number  uint64        // of PUB, for acks
}

// lane works off, in order, what a client says about a broker.
type lane struct {
	client *client
	id     string

	awaitsRoom  atomic.Bool // the client was told that the queue is full
	stopped     bool        // messages are refused until RESUME
	subscribed  bool        // there is a consumer, or was one
	oldIncoming bool        // there are messages for consumers to import

	mu      sync.Mutex
	inbox   []item
	arrived chan struct{} // holds one while there may be something in inbox
}

func newLane(c *client, id string) *lane {
	return &lane{client: c, id: id, arrived: make(chan struct{}, 1)}
}

func (l *lane) put(i item) {
	l.mu.Lock()
	l.inbox = append(l.inbox, i)
	l.mu.Unlock()
	select {
	case l.arrived <- struct{}{}:
	default:
	}
}

// run does what the client says, until that leaves; what it has published before is
// stored.
func (l *lane) run() {
	defer l.closeConsumers()
	for {
		left := l.client.context.Err() != nil
		l.mu.Lock()
		list := l.inbox
		l.inbox = nil
		l.mu.Unlock()
		for len(list) > 0 {
			if list[0].frame.Type == PubType {
				list = l.publish(list)
				continue
			}
			if !left {
				l.do(list[0])
			}
			list = list[1:]
		}
		if left {
			return
		}
		var quiet <-chan time.Time
		if l.oldIncoming && l.subscribed {
			quiet = time.After(quietTime)
		}
		select {
		case <-l.arrived:
		case <-quiet:
			l.settled()
		case <-l.client.context.Done():
		}
	}
}

// quietTime is how long the client has to say nothing for all its consumers to be
// taken to be there.
const quietTime = time.Second

// do does what is no publishing.
func (l *lane) do(i item) {
	value, err := l.answer(i)
	if i.frame.Type != CreditType && !errors.Is(err, errAnswered) {
		l.client.result(i.frame, value, err)
	}
}

func (l *lane) answer(i item) (any, error) {
	c := l.client
	ctx, h := c.context, c.house
	if i.frame.Type != OpenType && !h.has(c, l.id) {
		return nil, errNotOpen
	}
	switch i.frame.Type {
	case OpenType:
		p, err := readPlan(l.id, i.frame.Payload)
		if err != nil {
			return nil, fmt.Errorf("%w: %w", errRequest, err)
		}
		return l.open(ctx, p)
	case CloseType:
		l.closeConsumers()
		return nil, h.shut(ctx, c, l.id)
	case DetachType:
		l.closeConsumers()
		h.leave(c, l.id, c.linger)
		return nil, nil
	case ConnectType:
		return nil, h.engine.Connection(l.id).Resume()
	case DisconnectType:
		return nil, h.engine.Connection(l.id).Pause()
	case SubType:
		l.subscribed = true
		return l.subscribe(ctx, i)
	case UnsubType:
		return nil, l.unsubscribe(ctx, i)
	case CreditType:
		if k := c.consumer(i.target); k != nil && i.target.Window != nil {
			k.setWindow(*i.target.Window)
		}
	}
	return nil, nil
}

// open opens the broker, and imports what the nodes before mqttdb have left of what it
// was to send. What it had got is imported when there are consumers for it.
func (l *lane) open(ctx context.Context, p *plan) (*Opened, error) {
	h := l.client.house
	old, err := h.legacy(l.id, p)
	if err != nil {
		return nil, err
	}
	if err := h.open(ctx, l.client, l.id, p); err != nil {
		return nil, err
	}
	opened := &Opened{Notes: p.notes}
	if slices.Contains(old, types.Outgoing) {
		did, err := h.importOld(ctx, l.id, types.Outgoing)
		opened.Imported = &did
		h.imported(l.id, did)
		if err != nil { // the broker is open all the same
			h.log.Error("not all messages of the nodes before mqttdb are imported", "conn", l.id, "error", err)
			opened.Notes = append(opened.Notes, err.Error()+"; that is tried again when the broker is opened again")
		}
	}
	l.oldIncoming = slices.Contains(old, types.Incoming)
	return opened, nil
}

// settled is called when the client has said nothing for a while.
func (l *lane) settled() {
	h := l.client.house
	if l.client.context.Err() != nil || !h.has(l.client, l.id) {
		return
	}
	l.oldIncoming = false
	did, err := h.importOld(l.client.context, l.id, types.Incoming)
	h.imported(l.id, did)
	if err != nil {
		h.log.Error("not all messages of the nodes before mqttdb are imported; that is tried again when the broker is opened again", "conn", l.id, "error", err)
	}
}

// publish stores the messages that list begins with, in one commit as far as that may
// be, and returns what is left of it.
func (l *lane) publish(list []item) (rest []item) {
	c := l.client
	if l.stopped && list[0].frame.Flags&Resume == 0 {
		c.acks.done(list[0].number)
		return list[1:]
	}
	if l.stopped {
		l.stopped = false
		l.awaitsRoom.Store(false)
	}
	if !c.house.has(c, l.id) {
		l.refuse(list[0], errNotOpen)
		return list[1:]
	}
	var items []item
	var messages []types.Message
	bytes := 0
	mostMessages, mostBytes := c.house.batch(l.id)
	for n := 0; len(list) > 0 && list[0].frame.Type == PubType && n < mostMessages && bytes < mostBytes; n++ {
		i := list[0]
		list = list[1:]
		m, err := messageOf(i)
		if err == nil {
			err = m.Check(maxMessage)
		}
		if err != nil {
			l.refuse(i, err)
			continue
		}
		items, messages = append(items, i), append(messages, m)
		bytes += m.Size()
	}
	l.store(items, messages)
	return list
}

// messageOf is the message of a PUB.
func messageOf(i item) (types.Message, error) {
	h := &i.message
	m := types.Message{Topic: h.Topic, Payload: i.frame.Payload, Retain: h.Retain, Expiry: h.Properties.Expires()}
	if h.QoS < 0 || h.QoS > 2 {
		return m, fmt.Errorf("%w: QoS %d (0, 1 or 2 is allowed)", types.ErrInvalidMessage, h.QoS)
	}
	m.QoS = types.QoS(h.QoS)
	var err error
	m.Properties, err = h.Properties.Wire()
	return m, err
}

// store stores messages and answers them. If it cannot store all of them it finds out
// which it can, one by one: what is stored already is recognised then.
func (l *lane) store(items []item, messages []types.Message) {
	if len(items) == 0 {
		return
	}
	for {
		err := l.storeAtOnce(items, messages)
		switch {
		case err == nil:
			l.client.acks.done(numbersOf(items)...)
			return
		case len(items) > 1:
			for n := range items {
				if l.stopped {
					l.client.acks.done(numbersOf(items[n:])...)
					return
				}
				l.store(items[n:n+1], messages[n:n+1])
			}
			return
		case !isRefusal(err):
			if !l.pause() {
				return // it is not known whether it is stored: the client says it again
			}
		default:
			l.refuse(items[0], err)
			return
		}
	}
}

// storeAtOnce stores messages. It does not end with the client: what that has said
// before it left is stored.
func (l *lane) storeAtOnce(items []item, messages []types.Message) error {
	ids := make([]uint64, len(items))
	for n := range items {
		ids[n] = items[n].frame.Seq
	}
	c := l.client
	_, err := c.house.engine.Connection(l.id).PublishOnce(c.server.context, "sidecar/"+c.session, ids, messages)
	return err
}

// isRefusal says of an error that nothing was stored, and that trying again is of no
// use now.
func isRefusal(err error) bool {
	return slices.ContainsFunc([]error{
		types.ErrQueueFull, types.ErrTooLarge, types.ErrInvalidMessage, types.ErrInvalidTopic, types.ErrUnknownConnection, types.ErrClosed,
	}, func(known error) bool { return errors.Is(err, known) })
}

func numbersOf(items []item) []uint64 {
	list := make([]uint64, len(items))
	for n := range items {
		list[n] = items[n].number
	}
	return list
}

// pause waits until it is worth while to store again; false: not for this client.
func (l *lane) pause() bool {
	timer := time.NewTimer(storePause)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-l.client.context.Done():
		return false
	}
}

// refuse tells the client that a message is not stored.
func (l *lane) refuse(i item, err error) {
	fault := shorten(faultOf(err))
	l.stopped = l.stopped || fault.stops()
	l.client.out.push(Frame{Type: NackType, Seq: i.frame.Seq, Header: encode(Nack{Broker: l.id, Fault: fault, Stop: fault.stops()})})
	if fault.Code == "full" || fault.Code == "disk-full" {
		l.awaitsRoom.Store(true)
	}
	l.client.acks.done(i.number)
}
