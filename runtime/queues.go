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

// pick returns the queue that is meant, and whether its dead letters are. The error
// wraps types.ErrUnknownQueue if c has no such queue.
func (c *Connection) pick(name types.QueueName) (q *actors.Queue, dead bool, err error) {
	switch name {
	case types.Outgoing, "":
		return c.queue, false, nil
	case types.DeadLetters:
		return c.queue, true, nil
	case types.Incoming, types.IncomingDead:
		if c.incoming.queue == nil {
			return nil, false, fmt.Errorf("%w: %q; what comes in on %s is not stored (persist.incoming)", types.ErrUnknownQueue, name, c.name)
		}
		return c.incoming.queue, name == types.IncomingDead, nil
	}
	return nil, false, fmt.Errorf("%w: %q; there are outgoing, dead, incoming and incoming_dead", types.ErrUnknownQueue, name)
}
