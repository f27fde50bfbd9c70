package runtime

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/mqttdb/mqttdb/actors"
	"github.com/mqttdb/mqttdb/types"
)

// Alive asks every queue, also those of the local broker, and every connection for a sign of life, and waits for
// it as long as ctx allows: the error says whose is missing. A queue whose store
// fails and a connection whose broker is away are alive; one that hangs, in a
// write to a disk say, is not.
func (rt *Runtime) Alive(ctx context.Context) error {
	connections := rt.connections()
	links := make([]*actors.Connection, len(connections))
	call := rollCall{missing: make(map[string]bool), all: make(chan struct{})}
	for i, c := range connections {
		if links[i] = c.wire.present().link; links[i] != nil {
			call.missing[links[i].Name()] = true
		}
	}
	queues := rt.local.queues()
	for _, c := range connections {
		queues = append(queues, c.queues()...)
	}
	for _, q := range queues {
		call.missing[q.Name()] = true
	}
	if len(call.missing) == 0 {
		return nil
	}
	for _, q := range queues { // now that all are on the list
		q.Tell(actors.Describe{Reply: func(types.QueueStatus, error) { call.here(q.Name()) }})
	}
	for _, link := range links {
		if link != nil {
			link.Tell(actors.Ping{Reply: func(struct{}, error) { call.here(link.Name()) }})
		}
	}
	select {
	case <-call.all:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("no sign of life from %s: %w", call.absent(), ctx.Err())
	}
}

// rollCall knows which actors have not answered yet.
type rollCall struct {
	mu      sync.Mutex
	missing map[string]bool
	all     chan struct{} // closed when none is missing
}

// here notes that an actor has answered; one that has stopped does, too.
func (r *rollCall) here(actor string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.missing[actor] {
		return // a second answer
	}
	if delete(r.missing, actor); len(r.missing) == 0 {
		close(r.all)
	}
}

func (r *rollCall) absent() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return strings.Join(slices.Sorted(maps.Keys(r.missing)), ", ")
}
