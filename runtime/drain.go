package runtime

import (
	"context"
	"fmt"
	"time"

	"github.com/mqttdb/mqttdb/actors"
	"github.com/mqttdb/mqttdb/types"
)

// Drain waits until there is nothing left that is to be sent to a broker: see
// Connection.Drain, of all connections at the same moment.
func (rt *Runtime) Drain(ctx context.Context) error {
	for {
		for _, c := range rt.connections() {
			if err := c.Drain(ctx); err != nil {
				return err
			}
		}
		again := false // what one brought may have been for another, which was drained before
		for _, c := range rt.connections() {
			again = again || !c.drained(ctx)
		}
		if !again {
			return nil
		}
	}
}

// Drain waits until everything has been sent to the broker of c: nothing is left in its
// queue, and nothing of what other brokers have sent is still to be relayed to it. A
// store that cannot be read is not empty. What waits for somebody here (persistent
// sessions of local clients, named subscriptions) is not waited for: they may be away for
// as long as they like. The error is a *types.DrainError.
func (c *Connection) Drain(ctx context.Context) error {
	if c == nil {
		return types.ErrUnknownConnection
	}
	ended := false // c was removed, and messages are left
	err := c.rt.await(ctx, func() bool {
		select {
		case <-c.queue.Gone():
			ended = true
		default:
		}
		drained := c.drained(ctx)
		ended = ended && !drained
		return drained || ended
	})
	if ended {
		err = types.ErrClosed
	}
	if err == nil {
		return nil
	}
	if trouble := c.queue.Trouble(); trouble != nil && c.queue.Unread() {
		err = fmt.Errorf("what is stored cannot be read: %w (%w)", trouble, err)
	}
	left := &types.DrainError{Connection: c.name, Pending: c.queue.Status().Pending, Err: err}
	short, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	left.Relayed, _ = c.toBeRelayed(short)
	return left
}

// drained says whether nothing is left that is to be sent to the broker of c. It looks
// at what is relayed first: that comes into the queue before it is gone elsewhere.
func (c *Connection) drained(ctx context.Context) bool {
	if n, known := c.toBeRelayed(ctx); n > 0 || !known {
		return false
	}
	known := !c.queue.Unread() // asked first: it stays known
	s := c.queue.State()
	return known && s.Pending() == 0 && c.queue.Admission().Used() == actors.Cost{}
}

// toBeRelayed is how many messages of other brokers are stored, at most, that are to be
// sent to that of c and are not in its queue yet; known is false if that cannot be said.
func (c *Connection) toBeRelayed(ctx context.Context) (n uint64, known bool) {
	if len(c.routes().RelayFilters()) == 0 {
		return 0, true
	}
	known = true
	for _, from := range c.rt.connections() {
		q := from.incoming.queue
		if from == c || q == nil {
			continue
		}
		if unread := q.Unread(); !unread && q.State().Pending() == 0 {
			continue
		}
		list, err := actors.Ask(ctx, from.incoming.consumers.Ref, func(r actors.Reply[[]actors.ConsumerStatus]) actors.ConsumersMessage {
			return actors.ListConsumers{Reply: r}
		})
		known = known && err == nil
		for _, consumer := range list {
			if consumer.Name == relayConsumer+c.name {
				n += uint64(consumer.Open) + consumer.Behind
			}
		}
	}
	return n, known
}
