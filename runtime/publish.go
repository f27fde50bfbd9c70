package runtime

import (
	"context"
	"fmt"

	"github.com/mqttdb/mqttdb/actors"
	"github.com/mqttdb/mqttdb/persistence"
	"github.com/mqttdb/mqttdb/types"
)

// Publish stores m and returns its number in the queue when it is committed.
// m.Topic is the topic at the broker: routes do not apply. It waits while too
// much is on its way into the store already, or a limit of the queue is reached
// whose overflow is reject: if ctx ends while it waits for that the error wraps
// types.ErrQueueFull as well, and m is not stored. Otherwise, when ctx ends first,
// whether m is stored is not known. Other errors wrap types.ErrInvalidTopic,
// ErrTooLarge, ErrInvalidMessage, ErrClosed or ErrInterrupted, or are a
// *types.StoreError.
func (c *Connection) Publish(ctx context.Context, m types.Message) (types.Seq, error) {
	return c.PublishBatch(ctx, m)
}

// PublishBatch stores messages one after the other and returns the number of
// the first, the others follow without gaps, when all are committed. If it
// fails, a part of them, from the first on, may be stored. See Publish.
func (c *Connection) PublishBatch(ctx context.Context, messages ...types.Message) (types.Seq, error) {
	if c == nil {
		return 0, types.ErrUnknownConnection
	}
	if len(messages) == 0 {
		return 0, nil
	}
	answer := completions.Get().(*completion)
	entries, err := c.entriesOf(messages, answer.one[:0])
	if err == nil {
		err = c.enqueue(ctx, c.queue.Admission().Acquire, entries, answer)
	}
	if err != nil {
		answer.reuse()
		return 0, err
	}
	select { // the queue answers, whatever happens to it
	case s := <-answer.done:
		answer.reuse()
		return s.first, s.err
	case <-ctx.Done():
		return 0, fmt.Errorf("wait for the commit: %w", ctx.Err())
	}
}

// PublishAsync hands m over and returns without waiting for the commit, but it
// waits while too much is on its way into the store already. If a limit of the queue
// is reached whose overflow is reject it does not wait: the error wraps
// types.ErrQueueFull. See Publish.
func (c *Connection) PublishAsync(ctx context.Context, m types.Message) (*Publication, error) {
	if c == nil {
		return nil, types.ErrUnknownConnection
	}
	entries, err := c.entriesOf([]types.Message{m}, nil)
	if err != nil {
		return nil, err
	}
	p := &Publication{conn: c, stored: make(chan struct{})}
	err = c.enqueue(ctx, c.queue.Admission().AcquireUnlessFull, entries, actors.CompletionFunc(func(first types.Seq, err error) {
		p.first, p.err = first, err
		close(p.stored)
	}))
	if err != nil {
		return nil, err
	}
	return p, nil
}

// enqueue tells the queue to store entries, once acquire has got room for them.
func (c *Connection) enqueue(ctx context.Context, acquire func(context.Context, actors.Cost) error, entries []persistence.Entry, done actors.Completion) error {
	if err := acquire(ctx, actors.CostOf(entries)); err != nil {
		return fmt.Errorf("publish on %s: %w", c.name, err)
	}
	c.queue.Tell(actors.Enqueue{Entries: entries, Done: done})
	return nil
}
