package runtime

import (
	"fmt"

	"github.com/mqttdb/mqttdb/actors"
	"github.com/mqttdb/mqttdb/types"
)

// queues lists those of c that run.
func (c *Connection) queues() []*actors.Queue {
	var list []*actors.Queue
	for _, q := range []*actors.Queue{c.queue, c.incoming.queue} {
		if q != nil {
			list = append(list, q)
		}
	}
	return list
}

// section says which of the messages of a queue are meant.
type section uint8

const (
	pending section = iota
	dead
	sent // and kept
)

// pick returns the queue that is meant, and which of its messages. The error wraps
// types.ErrUnknownQueue if c has no such queue.
func (c *Connection) pick(name types.QueueName) (*actors.Queue, section, error) {
	switch name {
	case types.Outgoing, "":
		return c.queue, pending, nil
	case types.DeadLetters:
		return c.queue, dead, nil
	case types.SentMessages:
		return c.queue, sent, nil
	case types.Incoming, types.IncomingDead:
		if c.incoming.queue == nil {
			return nil, 0, fmt.Errorf("%w: %q; what comes in on %s is not stored (persist.incoming)", types.ErrUnknownQueue, name, c.name)
		}
		if name == types.IncomingDead {
			return c.incoming.queue, dead, nil
		}
		return c.incoming.queue, pending, nil
	}
	return nil, 0, fmt.Errorf("%w: %q; there are outgoing, dead, sent, incoming and incoming_dead", types.ErrUnknownQueue, name)
}
