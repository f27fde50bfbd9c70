package runtime

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/mqttdb/mqttdb/actors"
	"github.com/mqttdb/mqttdb/config"
	"github.com/mqttdb/mqttdb/persistence"
	"github.com/mqttdb/mqttdb/types"
)

// findOrphans opens the queues that nobody is configured for any more, to say what
// is in them.
func (rt *Runtime) findOrphans(ctx context.Context) ([]types.Status, error) {
	return rt.lookIntoUnused(ctx, nil, func(string) bool { return true })
}

// lookIntoUnused opens the stored queues that are not in use and whose owner is meant,
// and adds to list what is in them. A queue that is not in use does not learn how what
// it knows of goes on.
func (rt *Runtime) lookIntoUnused(ctx context.Context, list []types.Status, meant func(owner string) bool) ([]types.Status, error) {
	names, err := rt.o.Durable.Names(ctx)
	if err != nil {
		return nil, fmt.Errorf("list the stored queues: %w", err)
	}
	for _, name := range names {
		owner, _, _ := strings.Cut(name, "/")
		if !meant(owner) || rt.runs(name) {
			continue
		}
		q, err := rt.o.Durable.Open(ctx, name)
		if err != nil {
			rt.o.Logger.Warn("a queue that is not in use cannot be opened", "queue", name, "error", err)
			continue
		}
		stale := []string{actors.OpenMark}
		if rt.Connection(owner) != nil { // it goes on with its session
			stale = append(stale, actors.SessionMark, actors.PacketMark)
		}
		if err := forget(ctx, q, stale); err != nil {
			rt.o.Logger.Warn("what a queue that is not in use knows of packet ids and sessions cannot be forgotten", "queue", name, "error", err)
		}
		s := q.State()
		if err := errors.Join(tidy(ctx, q, s), q.Close(ctx)); err != nil {
			return nil, fmt.Errorf("look into %s: %w", name, err)
		}
		if holds(s) {
			list = rt.orphan(list, name, s)
		}
	}
	return list, nil
}

// forget removes the marks of q that begin with one of prefixes.
func forget(ctx context.Context, q persistence.Queue, prefixes []string) error {
	var c persistence.Commit
	for _, prefix := range prefixes {
		for key := range q.Marks(prefix) {
			c.Marks = append(c.Marks, persistence.Mark{Key: key})
		}
	}
	if len(c.Marks) == 0 {
		return nil
	}
	_, err := q.Write(ctx, c)
	return err
}

// runs says whether the queue of that name is in use, or may be so that nobody need
// know of it.
func (rt *Runtime) runs(name string) bool {
	owner, direction, _ := strings.Cut(name, "/")
	if direction != "outgoing" && direction != "incoming" || owner == LocalName {
		return direction != "outgoing" || rt.local.queue != nil
	}
	c := rt.Connection(owner)
	return c != nil && c.stores(direction)
}

// stores says whether the queue of c for that direction is on disk.
func (c *Connection) stores(direction string) bool {
	if direction == "incoming" {
		return c.config().Persist.Incoming == config.On
	}
	return c.config().Persist.Outgoing != config.Off
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
	hint := "messages wait for a connection of this name: configure it, or clear them"
	if rt.Connection(name) != nil {
		name, hint = queue, "messages wait in a queue that the connection does not use any more: turn persist."+direction+" on until it is empty, or clear it"
	}
	i := slices.IndexFunc(list, func(o types.Status) bool { return o.Name == name })
	if i < 0 {
		none := types.EmptyQueueStatus()
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

// orphaned says whether an orphan has that name.
func (rt *Runtime) orphaned(name string) bool {
	return slices.ContainsFunc(rt.lineup.Load().orphans, func(o types.Status) bool { return o.Name == name })
}

// ClearOrphan forgets all messages of an orphan, dead letters too, and returns how many
// those were: name is as Status has it, of what was a connection or of one of its queues. The
// error wraps types.ErrUnknownConnection if there is no such orphan.
func (rt *Runtime) ClearOrphan(ctx context.Context, name string) (uint64, error) {
	if err := rt.beginReload(ctx); err != nil {
		return 0, fmt.Errorf("clear %s: %w", name, err)
	}
	defer func() { rt.reload.turn <- struct{}{} }()
	now := rt.lineup.Load()
	is := func(o types.Status) bool { return o.Name == name }
	if !rt.orphaned(name) {
		return 0, fmt.Errorf("%w: %q is no orphan", types.ErrUnknownConnection, name)
	}
	cleared, err := rt.emptyAll(ctx, rt.o.Durable, name, rt.runs)
	if err != nil {
		return cleared, err
	}
	n, err := rt.emptyAll(ctx, rt.o.Volatile, name, func(queue string) bool { // those in memory have an owner or none
		owner, _, _ := strings.Cut(queue, "/")
		return rt.Connection(owner) != nil || owner == LocalName
	})
	cleared += n
	if err != nil {
		return cleared, err
	}
	next := newLineup()
	next.members, next.orphans = now.members, slices.DeleteFunc(slices.Clone(now.orphans), is)
	rt.replace(next)
	rt.board.changed()
	return cleared, nil
}

// emptyAll clears the queues of that name, or of a connection of that name, but for
// those that are in use.
func (rt *Runtime) emptyAll(ctx context.Context, store persistence.Store, name string, used func(queue string) bool) (cleared uint64, err error) {
	names, err := store.Names(ctx)
	if err != nil {
		return 0, fmt.Errorf("list the stored queues: %w", err)
	}
	for _, queue := range names {
		owner, _, _ := strings.Cut(queue, "/")
		if queue != name && owner != name || used(queue) {
			continue
		}
		n, err := empty(ctx, store, queue)
		cleared += n
		if err != nil {
			return cleared, fmt.Errorf("clear %s: %w", queue, err)
		}
	}
	return cleared, nil
}

// empty clears all that is in a queue which is not in use.
func empty(ctx context.Context, store persistence.Store, name string) (uint64, error) {
	q, err := store.Open(ctx, name)
	if err != nil {
		return 0, err
	}
	s := q.State()
	n := s.Pending() + s.Dead
	if s.Next > 1 && n > 0 {
		var c persistence.Commit
		for r := range s.Done.Missing(persistence.Range{First: s.Floor + 1, Last: s.Next - 1}) {
			c.Done = append(c.Done, persistence.Done{Range: r, Reason: types.Cleared})
		}
		c.Freed.Add(persistence.Range{First: 1, Last: s.Next - 1})
		if _, err = q.Write(ctx, c); err == nil {
			err = q.Sync(ctx)
		}
	}
	if err != nil {
		n = 0
	}
	return n, errors.Join(err, tidy(ctx, q, q.State()), q.Close(ctx))
}
