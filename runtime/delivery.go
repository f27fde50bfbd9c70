package runtime

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/mqttdb/mqttdb/actors"
	"github.com/mqttdb/mqttdb/types"
)

// Delivery is a message for a Subscription. That of a named one is to be answered,
// with Ack, Nak or Term: it is delivered again until then, or until an operator clears
// it. Its methods may be called
// concurrently; after the first answer that is an end they do nothing.
type Delivery struct {
	Message  types.Message // with its local topic; not to be modified
	Seq      types.Seq     // its number in the incoming queue; 0 without a Name
	Accepted time.Time     // when it was stored, or came

	// Redelivered says that it may have been delivered before, by this process or an
	// earlier one; Attempt counts from 1 how often this Subscription has delivered it.
	Redelivered bool
	Attempt     int

	until        time.Time // when it expires; zero: never
	subscription *Subscription
	receiver     *receiver // nil: without a Name
}

var errLive = errors.New("a subscription without a name delivers each message once")

// Ack says that the message is done. That is recorded soon: if the process dies
// before, it is delivered again. The error wraps types.ErrClosed or ErrInterrupted
// if the subscription has ended or was interrupted since: then it is, too.
func (d *Delivery) Ack() error {
	token, err := d.settle()
	if err != nil || token == nil {
		return err
	}
	d.consumers().Tell(actors.Acknowledge{Consumer: *token, Done: []types.Seq{d.Seq}})
	return nil
}

// Ack is Delivery.Ack for several of s, at once.
func (s *Subscription) Ack(list []*Delivery) error {
	var token *actors.Token
	var done []types.Seq
	for _, d := range list {
		t, err := d.settle()
		if err != nil {
			return err
		}
		if t != nil {
			token, done = t, append(done, d.Seq)
		}
	}
	if token != nil {
		s.conn.incoming.consumers.Tell(actors.Acknowledge{Consumer: *token, Done: done})
	}
	return nil
}

// AckSync is Ack, and returns when it is synced that the message is done.
func (d *Delivery) AckSync(ctx context.Context) error {
	token, err := d.settle()
	if err != nil || token == nil {
		return err
	}
	return d.ask(ctx, actors.Acknowledge{Consumer: *token, Done: []types.Seq{d.Seq}})
}

// Nak asks for the message again, after delay; others go on meanwhile.
func (d *Delivery) Nak(delay time.Duration) error {
	if d.receiver == nil {
		return errLive
	}
	return d.receiver.nak(d.Seq, max(delay, 0))
}

// Term says that the message can never be taken, and why: it is a dead letter of the
// incoming queue (see Connection.Messages and Requeue) as soon as the others to whom
// it belongs are done with it. It returns when that is synced. After an error the
// message is delivered again.
func (d *Delivery) Term(ctx context.Context, reason string) error {
	if d.receiver == nil {
		return errLive
	}
	token, err := d.settle()
	if err != nil || token == nil {
		return err
	}
	cause := fmt.Sprintf("%s: %s", d.subscription.options.Name, reason)
	if err := d.ask(ctx, actors.Acknowledge{Consumer: *token, Dead: []actors.Letter{{Seq: d.Seq, Cause: cause}}}); err != nil {
		d.receiver.restore(d)
		return err
	}
	return nil
}

// settle takes the message out of what is delivered again; a nil token says that it
// is out already.
func (d *Delivery) settle() (*actors.Token, error) {
	if d.receiver == nil {
		return nil, nil
	}
	return d.receiver.settle(d.Seq)
}

func (d *Delivery) consumers() *actors.Consumers { return d.subscription.conn.incoming.consumers }

// ask tells the consumers what is to be recorded, and waits until it is synced.
func (d *Delivery) ask(ctx context.Context, m actors.Acknowledge) error {
	_, err := actors.Ask(ctx, d.consumers().Ref, func(r actors.Reply[actors.Noted]) actors.ConsumersMessage {
		m.Reply = r
		return m
	})
	if err != nil {
		return fmt.Errorf("record what became of message %d: %w", d.Seq, err)
	}
	return nil
}
