package runtime

import (
	"context"
	"fmt"

	"github.com/mqttdb/mqttdb/actors"
	"github.com/mqttdb/mqttdb/persistence"
	"github.com/mqttdb/mqttdb/types"
)

// Compact gives back the disk space of what has left a queue of c, now and not in
// its turn; "" means all its queues. It returns when that is done of all that had
// left before the call. If ctx ends before that it goes on by itself. One queue is
// at work at a time, so it may have to wait for others. Errors wrap
// types.ErrUnknownQueue, ErrClosed or ErrInterrupted, or are a *types.StoreError.
func (c *Connection) Compact(ctx context.Context, queue types.QueueName) (types.Compaction, error) {
	if c == nil {
		return types.Compaction{}, types.ErrUnknownConnection
	}
	list := c.queues()
	if queue != "" {
		q, _, err := c.pick(queue)
		if err != nil {
			return types.Compaction{}, err
		}
		list = []*actors.Queue{q}
	}
	return c.rt.compact(ctx, c.name, list)
}

// Compact is Connection.Compact of the named connection. LocalName stands for what
// is stored for local clients: with "" retained messages, too.
func (rt *Runtime) Compact(ctx context.Context, name string, queue types.QueueName) (types.Compaction, error) {
	if name != LocalName || rt.local.queue == nil {
		return rt.Connection(name).Compact(ctx, queue)
	}
	switch queue {
	case "":
		return rt.compact(ctx, name, rt.local.queues())
	case types.Outgoing, types.DeadLetters:
		return rt.compact(ctx, name, []*actors.Queue{rt.local.queue})
	}
	return types.Compaction{}, fmt.Errorf("%w: %q; %s has outgoing", types.ErrUnknownQueue, queue, LocalName)
}

// compact has queues of what has that name compacted, one after the other.
func (rt *Runtime) compact(ctx context.Context, name string, list []*actors.Queue) (total types.Compaction, err error) {
	for _, q := range list {
		did, err := actors.Ask(ctx, rt.compactor, func(r actors.Reply[persistence.Compaction]) actors.CompactorMessage {
			return actors.CompactNow{Queue: q, Reply: r}
		})
		total = total.Plus(types.Compaction{
			Reclaimed: uint64(did.Reclaimed), Rewritten: uint64(did.Rewritten), Disk: q.State().DiskBytes,
		})
		if err != nil {
			return total, fmt.Errorf("compact %s: %w", name, err)
		}
	}
	return total, nil
}
