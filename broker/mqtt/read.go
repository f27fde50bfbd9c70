package mqtt

import (
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/mqttdb/mqttdb/broker"
)

// read is the reader goroutine.
func (l *link) read() {
	err := l.receive()
	if errors.Is(err, io.EOF) {
		err = &broker.HintedError{Err: broker.ErrHungUp, Advice: "the broker's log says why"}
	}
	l.end(err)
}

// receive tells what arrives until it cannot any more. What arrived whole
// before an error is told.
func (l *link) receive() error {
	for {
		if err := l.tellArrived(); err != nil {
			return err
		}
		l.awaitRelease()
		if err := l.in.fill(); err != nil {
			return fmt.Errorf("read from the broker: %w", err)
		}
		l.keepalive.heard(time.Now())
	}
}

// tellArrived decodes all that has arrived and tells it.
func (l *link) tellArrived() error {
	b := &l.arrived
	defer l.tellBatch(b)
	for {
		cut, ok, err := l.in.next()
		if err != nil || !ok {
			return err
		}
		if a, is, err := acknowledgement(cut); err != nil {
			return err
		} else if is {
			b.acks = append(b.acks, a)
			continue
		}
		packet, err := decode(cut)
		if err != nil {
			return err
		}
		if err := l.add(b, packet); err != nil {
			return err
		}
	}
}

// batch is what has arrived together.
type batch struct {
	acks     []broker.Ack
	received []broker.Inbound
}

// add puts a packet into the batch, or tells it behind what the batch has.
func (l *link) add(b *batch, packet any) error {
	switch p := packet.(type) {
	case broker.Inbound:
		if l.bye.Load() {
			return nil // it can no longer be acknowledged and will come again
		}
		if p.Kind == broker.Oversized && len(p.Message.Topic) > l.in.max {
			p.Message.Topic = ""
		}
		if n := len(p.Message.Payload); l.maxPayload > 0 && n > l.maxPayload {
			p.Kind, p.Size, p.Message.Payload = broker.Oversized, n, nil
		}
		b.received = append(b.received, p)
	case broker.Subscribed:
		if err := l.answered(p.ID, len(p.Codes)); err != nil {
			return err
		}
		l.tellBatch(b)
		l.tell(p)
	case broker.Unsubscribed:
		if err := l.answered(p.ID, 0); err != nil {
			return err
		}
		l.tellBatch(b)
		l.tell(p)
	case pong:
	default:
		return malformed("a second CONNACK")
	}
	return nil
}

// tellBatch tells what the batch has and empties it. Acknowledgements and
// messages are two streams: only within each does the order mean something.
func (l *link) tellBatch(b *batch) {
	if len(b.acks) > 0 {
		l.tellAcks(b.acks)
	}
	if len(b.received) > 0 {
		l.tell(broker.Received{Packets: b.received})
	}
	*b = batch{acks: b.acks[:0]}
}
