package runtime

import (
	"context"
	"fmt"
	"sync"

	"github.com/mqttdb/mqttdb/actors"
	"github.com/mqttdb/mqttdb/types"
)

// Forward stores m as if a local client had published it: in the queue of every
// connection that forwards it, all or none. It returns when that is committed,
// with one Publication for each, by the names of the connections; none if nobody
// forwards m. It waits while there is no room; if ctx ends meanwhile the error wraps
// types.ErrQueueFull as well if it was for a limit of a queue. Online subscribers of a
// local broker do not get m by this.
func (rt *Runtime) Forward(ctx context.Context, m types.Message) (map[string]*Publication, error) {
	return rt.forward(ctx, m, false)
}

// TryForward is Forward, but returns an error that wraps types.ErrQueueFull at once
// where that would wait for a queue that has reached a limit.
func (rt *Runtime) TryForward(ctx context.Context, m types.Message) (map[string]*Publication, error) {
	return rt.forward(ctx, m, true)
}

func (rt *Runtime) forward(ctx context.Context, m types.Message, impatient bool) (map[string]*Publication, error) {
	if err := m.Check(int(rt.config.MaxMessageSize)); err != nil {
		return nil, err
	}
	var mu sync.Mutex
	publications := make(map[string]*Publication)
	stored := make(chan struct{})
	close(stored)
	done, room := make(chan error, 1), make(chan struct{}, 1)
	p := Passage{Message: m, Done: func(err error) { done <- err }, Stored: func(connection string, seq types.Seq) {
		if c := rt.Connection(connection); c != nil {
			mu.Lock()
			defer mu.Unlock()
			publications[connection] = &Publication{conn: c, first: seq, stored: stored}
		}
	}}
	for {
		if impatient {
			if err := rt.refusal(m); err != nil {
				return nil, err
			}
		}
		if rt.RouteAll([]Passage{p}, func() { room <- struct{}{} }) > 0 {
			break
		}
		select {
		case <-room:
		case <-ctx.Done():
			if full := rt.refusal(m); full != nil {
				return nil, fmt.Errorf("%w: %w", full, ctx.Err())
			}
			return nil, fmt.Errorf("publish: %w", ctx.Err())
		}
	}
	select {
	case err := <-done:
		if err != nil {
			return nil, err
		}
	case <-ctx.Done():
		return nil, fmt.Errorf("wait for the commit: %w", ctx.Err())
	}
	mu.Lock()
	defer mu.Unlock()
	return publications, nil
}

// refusal says which queue that m belongs to has reached a limit, and counts that it
// is refused there.
func (rt *Runtime) refusal(m types.Message) error {
	l := rt.enter()
	defer l.leave()
	cost := actors.Cost{Messages: 1, Bytes: int64(m.Size())}
	for i := range l.members {
		c := &l.members[i]
		if _, ok := c.forwards(m, nil); !ok {
			continue
		}
		if err := c.queue.Admission().Refusal(cost); err != nil {
			return fmt.Errorf("publish on %s: %w", c.name, err)
		}
	}
	if q := rt.local.queue; q != nil && m.QoS > 0 && rt.local.consumers.Wants(m.Topic) {
		if err := q.Admission().Refusal(cost); err != nil {
			return fmt.Errorf("publish on %s: %w", LocalName, err)
		}
	}
	return nil
}
