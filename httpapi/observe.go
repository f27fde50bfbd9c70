package httpapi

import (
	"context"
	"time"

	"github.com/mqttdb/mqttdb/types"
)

// observer follows the statuses: the one source of the stream, the events, the
// history and the topics. It belongs to one goroutine.
type observer struct {
	s       *Server
	changes *changes
	topics  *topics
	all     []types.Status // the latest
}

// newObserver returns one that has seen how everything is now.
func newObserver(s *Server) *observer {
	o := &observer{s: s, changes: newChanges(), topics: newTopics(s.o.Report)}
	now := time.Now()
	o.see(now, s.rt.Status())
	s.history.add(now, o.all)
	o.tell(now)
	return o
}

// run follows the statuses until ctx ends or the runtime is closed. While nothing
// happens it wakes once for each step of the history.
func (o *observer) run(ctx context.Context) {
	watched := o.s.rt.Watch(ctx)
	step := time.NewTicker(historyStep)
	defer step.Stop()
	for {
		var at time.Time
		select {
		case <-ctx.Done():
			return
		case all, ok := <-watched:
			if !ok {
				return
			}
			at = time.Now()
			o.see(at, all)
		case at = <-step.C:
			o.s.history.add(at, o.all)
		case at = <-o.topics.due:
		}
		o.tell(at)
	}
}

func (o *observer) see(at time.Time, all []types.Status) {
	o.all = all
	o.topics.changed(o.s.hub.update(at, all))
}

// tell tells what may be told at that time.
func (o *observer) tell(at time.Time) {
	o.topics.publish(at)
	for _, e := range o.changes.compare(at, o.all) {
		o.s.hub.tell(o.s.events.add(e))
	}
}
