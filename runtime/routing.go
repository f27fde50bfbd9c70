package runtime

import (
	"errors"
	"sync"

	"github.com/mqttdb/mqttdb/actors"
	"github.com/mqttdb/mqttdb/persistence"
	"github.com/mqttdb/mqttdb/types"
)

// Route is what the local broker does with a message of a client: it stores m
// in the queue of every connection that forwards it, all or none, and calls
// done exactly once, from any goroutine, when that is committed everywhere or
// was refused; done must not block. A message that no connection forwards is
// done at once.
//
// It never blocks. If there is no room now it returns false, done is not called,
// and room is called once, when it is worth trying again.
func (rt *Runtime) Route(m types.Message, origin types.Origin, done func(error), room func()) bool {
	targets := rt.targets(m)
	if len(targets) == 0 {
		done(nil)
		return true
	}
	now := rt.now()
	entries := make([][]persistence.Entry, len(targets))
	for i, t := range targets {
		if err := t.message.Check(int(rt.config.MaxMessageSize)); err != nil {
			t.conn.refused.Add(1)
			done(err)
			return true
		}
		entries[i] = []persistence.Entry{{Message: t.message, Origin: origin, Enqueued: now}}
	}
	for i, t := range targets {
		cost := actors.CostOf(entries[i])
		err := t.conn.queue.Admission().TryAcquire(cost)
		if err == nil {
			continue
		}
		// All or none (S2.1): hold nothing while waiting for this one.
		for k := range i {
			targets[k].conn.queue.Admission().Release(actors.CostOf(entries[k]))
		}
		if !errors.Is(err, types.ErrBusy) {
			done(err)
			return true
		}
		admission := t.conn.queue.Admission()
		admission.Notify(cost, func(err error) {
			if err == nil {
				admission.Release(cost)
			}
			room() // also when it was closed: trying again gives the error
		})
		return false
	}
	var answer actors.Completion = actors.CompletionFunc(func(_ types.Seq, err error) { done(err) })
	if len(targets) > 1 {
		answer = &joint{left: len(targets), done: done}
	}
	for i, t := range targets {
		t.conn.queue.Tell(actors.Enqueue{Entries: entries[i], Done: answer})
	}
	return true
}

// target is a connection that forwards a message, and the message as it does.
type target struct {
	conn    *Connection
	message types.Message
}

func (rt *Runtime) targets(m types.Message) []target {
	var out []target
	for _, c := range rt.connections {
		if remote, ok := c.routes.Forwards(m); ok {
			out = append(out, target{c, remote})
		}
	}
	return out
}

// joint waits for several commits and answers with the last, or with an error
// if there was one.
type joint struct {
	mu   sync.Mutex
	left int
	err  error
	done func(error)
}

// Stored implements actors.Completion.
func (j *joint) Stored(_ types.Seq, err error) {
	j.mu.Lock()
	j.err = errors.Join(j.err, err)
	j.left--
	left, joined := j.left, j.err
	j.mu.Unlock()
	if left == 0 {
		j.done(joined)
	}
}
