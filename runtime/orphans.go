package runtime

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/mqttdb/mqttdb/actors"
	"github.com/mqttdb/mqttdb/persistence"
	"github.com/mqttdb/mqttdb/types"
)

// findOrphans opens the queues that nobody is configured for any more, to say what
// is in them.
func (rt *Runtime) findOrphans(ctx context.Context) ([]types.Status, error) {
	names, err := rt.o.Durable.Names(ctx)
	if err != nil {
		return nil, fmt.Errorf("list the stored queues: %w", err)
	}
	var orphans []types.Status
	for _, name := range names {
		if rt.runs(name) {
			continue
		}
		q, err := rt.o.Durable.Open(ctx, name)
		if err != nil {
			rt.o.Logger.Warn("a queue of no connection cannot be opened", "queue", name, "error", err)
			continue
		}
		if err := forgetExchanges(ctx, q); err != nil {
			rt.o.Logger.Warn("what clients have begun to publish to a queue of no connection cannot be forgotten", "queue", name, "error", err)
		}
		s := q.State()
		if err := errors.Join(tidy(ctx, q, s), q.Close(ctx)); err != nil {
			return nil, fmt.Errorf("look into %s: %w", name, err)
		}
		if holds(s) {
			orphans = rt.orphan(orphans, name, s)
		}
	}
	return orphans, nil
}

// runs says whether the queue of that name is in use, or may be so that nobody need
// know of it.
func (rt *Runtime) runs(name string) bool {
	owner, direction, _ := strings.Cut(name, "/")
	if direction != "outgoing" && direction != "incoming" || owner == LocalName {
		return direction != "outgoing" || rt.local.queue != nil
	}
	c := rt.Connection(owner)
	return c != nil && (direction == "outgoing" || c.incoming.queue != nil)
}

// holds says whether there is something in a queue.
func holds(s persistence.State) bool { return s.Pending() > 0 || s.Dead > 0 }

// tidy compacts a queue, whose state is s, that nobody else compacts: each time
// it is opened it gets a little larger.
func tidy(ctx context.Context, q persistence.Queue, s persistence.State) error {
	c, ok := q.(persistence.Compacter)
	if !ok || !s.CompactionDue {
		return nil
	}
	for {
		if did, err := c.Compact(ctx, 1<<20); err != nil || !did.More {
			return err
		}
	}
}

// orphan adds a queue with messages that nobody is configured for to list: both
// queues of what was a connection are one orphan. What a connection does not use any
// more of its own goes by the name of the queue.
func (rt *Runtime) orphan(list []types.Status, queue string, s persistence.State) []types.Status {
	name, direction, _ := strings.Cut(queue, "/")
	rt.o.Logger.Warn("messages are pending in a queue that nobody is configured for; they are kept", "queue", queue, "pending", s.Pending())
	hint := "messages wait for a connection of this name: configure it, or remove its directory while the gateway is stopped"
	if rt.Connection(name) != nil {
		name, hint = queue, "messages wait in a queue that the connection does not use any more: turn persist."+direction+" on until it is empty, or remove its directory while the gateway is stopped"
	}
	i := slices.IndexFunc(list, func(o types.Status) bool { return o.Name == name })
	if i < 0 {
		none := types.QueueStatus{DroppedBy: map[string]uint64{}}
		list = append(list, types.Status{Name: name, State: types.Offline, Orphan: true, Hint: hint, Outgoing: none, Incoming: none})
		i = len(list) - 1
	}
	if direction == "incoming" {
		list[i].Incoming = actors.QueueStatusOf(s)
	} else {
		list[i].Outgoing = actors.QueueStatusOf(s)
	}
	return list
}
