package runtime

import (
	"context"
	"fmt"

	"github.com/mqttdb/mqttdb/actors"
	"github.com/mqttdb/mqttdb/types"
)

// Replay sends messages again that were sent and are kept, as keep_sent of the
// configuration says: it puts them behind those that are pending, as new ones, in
// their order. It returns when all are committed, and synced. If ctx ends before
// that it goes on by itself. What dies in between leaves each of them either put
// back or kept, so that it can be repeated. Errors wrap types.ErrNotKept,
// ErrInvalidTopic, ErrQueueFull, ErrClosed or ErrInterrupted, or are a
// *types.StoreError.
func (c *Connection) Replay(ctx context.Context, which types.Replay) (types.Replayed, error) {
	if c == nil {
		return types.Replayed{}, types.ErrUnknownConnection
	}
	if which.Filter != "" {
		if err := types.CheckFilter(which.Filter); err != nil {
			return types.Replayed{}, err
		}
	}
	if c.config().KeepSent == 0 {
		return types.Replayed{}, fmt.Errorf("replay %s: %w", c.name, types.ErrNotKept)
	}
	did, err := actors.Ask(ctx, c.queue.Ref, func(r actors.Reply[actors.Replayed]) actors.QueueMessage {
		return actors.Replay{
			Since: which.Since, From: which.From, Filter: which.Filter,
			Again: which.Again, Retain: which.Retain, Count: which.DryRun, Reply: r,
		}
	})
	if err != nil {
		return types.Replayed{}, fmt.Errorf("replay %s: %w", c.name, err)
	}
	return types.Replayed{Count: did.Count, Left: did.Left}, nil
}
