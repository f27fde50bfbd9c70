package runtime

import (
	"context"
	"fmt"

	"github.com/mqttdb/mqttdb/actors"
	"github.com/mqttdb/mqttdb/types"
)

// pageBytes is about how much Messages returns at once, in bytes.
const pageBytes = 8 << 20

// Messages returns messages that are stored, in order: those of the queue whose
// numbers are above after, at most limit, and some 8 MiB. There are no more of
// them when it returns none. queue is types.Outgoing, also "", or types.Incoming
// for what is pending, types.DeadLetters, types.IncomingDead, or types.SentMessages
// for what was sent and is kept. What it returns must not be modified. Errors
// wrap types.ErrUnknownQueue or ErrClosed, or are a *types.StoreError.
func (c *Connection) Messages(ctx context.Context, queue types.QueueName, after types.Seq, limit int) ([]types.Stored, error) {
	if c == nil {
		return nil, types.ErrUnknownConnection
	}
	q, of, err := c.pick(queue)
	if err != nil {
		return nil, err
	}
	if limit <= 0 {
		return nil, nil
	}
	list, err := readStored(ctx, q, of, after, limit)
	if err != nil {
		return nil, fmt.Errorf("read the messages of %s: %w", c.name, err)
	}
	return list, nil
}

// Requeue puts a dead letter behind the other messages of its queue, to be sent
// again, and returns its new number when that is committed. queue is
// types.DeadLetters, also "", or types.IncomingDead, which are delivered to all
// again. Errors wrap types.ErrUnknownQueue, ErrUnknownMessage, ErrClosed or
// ErrInterrupted, or are a *types.StoreError.
func (c *Connection) Requeue(ctx context.Context, queue types.QueueName, seq types.Seq) (types.Seq, error) {
	if c == nil {
		return 0, types.ErrUnknownConnection
	}
	if queue == "" {
		queue = types.DeadLetters
	}
	q, of, err := c.pick(queue)
	if err != nil {
		return 0, err
	}
	if of != dead {
		return 0, fmt.Errorf("requeue message %d of %s: %w: %q holds no dead letters", seq, c.name, types.ErrUnknownQueue, queue)
	}
	again, err := actors.Ask(ctx, q.Ref, func(r actors.Reply[actors.Requeued]) actors.QueueMessage {
		return actors.Requeue{Seq: seq, Reply: r}
	})
	if err != nil {
		return 0, fmt.Errorf("requeue message %d of %s: %w", seq, c.name, err)
	}
	return again.Seq, nil
}

// Remove forgets one message. queue is as for Messages. The error wraps
// types.ErrInFlight if the message was sent and is not acknowledged yet; others
// as for Requeue and Messages.
func (c *Connection) Remove(ctx context.Context, queue types.QueueName, seq types.Seq) error {
	if c == nil {
		return types.ErrUnknownConnection
	}
	q, of, err := c.pick(queue)
	if err != nil {
		return err
	}
	if seq == 0 {
		return fmt.Errorf("remove message 0 of %s: %w", c.name, types.ErrUnknownMessage)
	}
	_, err = actors.Ask(ctx, q.Ref, func(r actors.Reply[actors.Cleared]) actors.QueueMessage {
		return actors.Clear{Seq: seq, Dead: of == dead, Sent: of == sent, Reply: r}
	})
	if err != nil {
		return fmt.Errorf("remove message %d of %s: %w", seq, c.name, err)
	}
	return nil
}
