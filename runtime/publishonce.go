package runtime

import (
	"context"
	"fmt"
	"slices"

	"github.com/mqttdb/mqttdb/actors"
	"github.com/mqttdb/mqttdb/types"
)

// PublishOnce stores messages of a publisher that sends again what it does not know
// to be stored. source names it, shortly; ids are its numbers of the messages, of the
// same length, and rise with them. One whose id is not above the highest that is
// stored of that source is a repeat, and is not stored again; what a source is known
// by is forgotten when session_expiry is over.
//
// It returns when all are committed, with their numbers in the queue: 0 for a repeat.
// If a limit of the queue is reached whose overflow is reject it does not wait: the
// error wraps types.ErrQueueFull. If it fails, a part of them, from the first on, may
// be stored. See Publish.
func (c *Connection) PublishOnce(ctx context.Context, source string, ids []uint64, messages []types.Message) ([]types.Seq, error) {
	if c == nil {
		return nil, types.ErrUnknownConnection
	}
	if len(ids) != len(messages) {
		return nil, fmt.Errorf("%w: %d ids of %d messages", types.ErrInvalidMessage, len(ids), len(messages))
	}
	if len(messages) == 0 {
		return nil, nil
	}
	entries, err := c.entriesOf(messages, nil)
	if err != nil {
		return nil, err
	}
	once := make([]types.Once, len(entries))
	for i := range entries {
		entries[i].Origin = types.Origin{Source: source, ID: ids[i]}
		once[i].Rule = types.Rising
	}
	if err := c.queue.Admission().AcquireUnlessFull(ctx, actors.CostOf(entries)); err != nil {
		return nil, fmt.Errorf("publish on %s: %w", c.name, err)
	}
	answer := &onceCompletion{completion: completion{done: make(chan stored, 1)}}
	c.queue.Tell(actors.EnqueueOnce{Enqueue: actors.Enqueue{Entries: entries, Done: answer}, Once: once})
	select {
	case s := <-answer.done:
		if s.err != nil {
			return nil, s.err
		}
		return answer.numbers(s.first, len(entries)), nil
	case <-ctx.Done():
		return nil, fmt.Errorf("wait for the commit: %w", ctx.Err())
	}
}

// onceCompletion waits for the answer to one EnqueueOnce.
type onceCompletion struct {
	completion
	repeated []int
}

// Repeated implements actors.RepeatCompletion.
func (p *onceCompletion) Repeated(indices []int) { p.repeated = slices.Clone(indices) }

// numbers are those of n entries of which the first that is no repeat has got first.
func (p *onceCompletion) numbers(first types.Seq, n int) []types.Seq {
	list := make([]types.Seq, n)
	again := p.repeated
	for i := range list {
		if len(again) > 0 && again[0] == i {
			again = again[1:]
			continue
		}
		list[i] = first
		first++
	}
	return list
}

// Delivered waits until the broker has acknowledged the message of that number in the
// outgoing queue, as Publication.Delivered does.
func (c *Connection) Delivered(ctx context.Context, seq types.Seq) error {
	if c == nil {
		return types.ErrUnknownConnection
	}
	return c.tracker.delivered(ctx, seq)
}

// DeliveredSoFar waits until all that is stored in the outgoing queue now has left it:
// what there is to wait for of a repeat, whose number is not known. What became of the
// messages is not told.
func (c *Connection) DeliveredSoFar(ctx context.Context) error {
	if c == nil {
		return types.ErrUnknownConnection
	}
	last := c.queue.State().Next - 1
	return c.rt.await(ctx, func() bool { return c.queue.State().Floor >= last })
}

// MaxMessageSize is the largest payload that is taken, in bytes.
func (rt *Runtime) MaxMessageSize() int { return int(rt.config.MaxMessageSize) }
