package runtime

import (
	"sync/atomic"

	"github.com/mqttdb/mqttdb/types"
)

// lineup is what runs, from one Reload to the next. What it lists is never
// modified: another one takes its place.
type lineup struct {
	members []member       // in the order of the configuration
	orphans []types.Status // queues with messages for a connection that is not configured

	inside  atomic.Int64 // who is just using it, see enter
	retired atomic.Bool
	left    chan struct{} // told when the last of them leaves it, once it is retired
}

// member is a connection as this lineup has it.
type member struct {
	*Connection
	settings *settings
}

func newLineup() *lineup { return &lineup{left: make(chan struct{}, 1)} }

// add appends c as it is configured with s.
func (l *lineup) add(c *Connection, s *settings) { l.members = append(l.members, member{c, s}) }

// named returns the connection of that name, nil if there is none.
func (l *lineup) named(name string) *Connection {
	for _, m := range l.members {
		if m.name == name {
			return m.Connection
		}
	}
	return nil
}

// connections lists those of the members.
func (l *lineup) connections() []*Connection {
	list := make([]*Connection, len(l.members))
	for i, m := range l.members {
		list[i] = m.Connection
	}
	return list
}

// enter returns the present lineup, for somebody who is going to tell its queues
// something: until they leave it no queue of it is stopped by a Reload.
func (rt *Runtime) enter() *lineup {
	for {
		l := rt.lineup.Load()
		l.inside.Add(1)
		if rt.lineup.Load() == l {
			return l
		}
		l.leave() // it was retired meanwhile, perhaps before it knew of us
	}
}

func (l *lineup) leave() {
	if l.inside.Add(-1) == 0 && l.retired.Load() {
		select {
		case l.left <- struct{}{}:
		default: // told already
		}
	}
}

// replace makes next the present lineup, and returns once nobody is inside the
// one before any more, which never takes long: nobody waits there.
func (rt *Runtime) replace(next *lineup) {
	old := rt.lineup.Swap(next)
	old.retired.Store(true)
	for old.inside.Load() > 0 {
		<-old.left
	}
}
