package runtime

import (
	"context"
	"fmt"
	"sync"

	"github.com/mqttdb/mqttdb/types"
)

// Forward stores m as if a local client had published it: in the queue of every
// connection that forwards it, all or none. It returns when that is committed,
// with one Publication for each, by the names of the connections; none if nobody
// forwards m. It waits while there is no room. Online subscribers of a local
// broker do not get m by this.
func (rt *Runtime) Forward(ctx context.Context, m types.Message) (map[string]*Publication, error) {
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
	for rt.RouteAll([]Passage{p}, func() { room <- struct{}{} }) == 0 {
		select {
		case <-room:
		case <-ctx.Done():
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
