package actors

import (
	"fmt"
	"runtime/debug"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/mqttdb/mqttdb/types"
)

// role is what an actor does. Its methods are called by one goroutine at a
// time. A new role is made for each life of the actor; what has to outlive a
// failure is shared by the function that makes them.
type role[M any] interface {
	started()
	receive(m M)

	// interrupted is called once the role has failed, before another one takes
	// its place: it answers all who wait, current included (nil if there was
	// none), which it was receiving.
	interrupted(current M)

	// stopping is called when the actor stops for good.
	stopping()
}

// spawn starts an actor. giveBack answers whoever waits for a message that no
// role ever received; it is called by one goroutine at a time.
func spawn[M any](s *System, name string, newRole func(self Ref[M]) role[M], giveBack func(M, error)) (Ref[M], error) {
	self := Ref[M]{&address{name: s.name + "/" + name, gone: make(chan struct{}), log: s.restart.log}}
	props := actor.PropsFromProducer(
		func() actor.Actor { return &life[M]{role: newRole(self), self: self, over: s.workers.leave} },
		actor.WithDispatcher(s.workers),
		actor.WithGuardian(s.restart), // not WithSupervisor: that is for its children
		actor.WithMailbox(func() actor.Mailbox {
			box := actor.Unbounded(&remains[M]{self, giveBack})()
			self.to.post = box.PostUserMessage
			return &reopened{box, self.to.gone}
		}))
	s.workers.enter()
	if _, err := s.actors.Root.SpawnNamed(props, self.to.name); err != nil {
		s.workers.leave()
		close(self.to.gone)
		return Ref[M]{}, fmt.Errorf("start actor %s: %w", self.to.name, err)
	}
	return self, nil
}

// life is one incarnation of an actor, between its start and its failure or end.
type life[M any] struct {
	role    role[M]
	self    Ref[M]
	over    func() // called once the actor has stopped for good
	current M
}

// Receive implements actor.Actor. Once the actor has stopped for good nothing
// counts any more: protoactor obeys a restart that comes behind a stop, as when a
// host program stops what is waiting to be started again.
func (l *life[M]) Receive(c actor.Context) {
	select {
	case <-l.self.to.gone:
		return
	default:
	}
	switch m := c.Message().(type) {
	case M:
		l.current = m
		l.role.receive(m)
		var none M
		l.current = none
	case *actor.Started:
		l.role.started()
	case *actor.Restarting:
		current := l.current
		var none M
		l.current = none
		l.role.interrupted(current)
	case *actor.Stopping:
		l.stop()
	case *actor.Stopped:
		close(l.self.to.gone)
		l.over()
	case kill:
		panic("killed by Ref.Kill")
	}
}

// stop ends the role. If that fails it is not started again: protoactor would
// do that, also with what is to stop.
func (l *life[M]) stop() {
	defer func() {
		if reason := recover(); reason != nil {
			l.self.to.log.Error("actor failed while it stopped", "actor", l.self.to.name, "reason", reason, "stack", string(debug.Stack()))
			l.role.interrupted(l.current)
		}
	}()
	l.role.stopping()
}

// remains watches a mailbox for what is taken out of it after the actor has
// stopped. protoactor drops that; here it is given back.
type remains[M any] struct {
	self     Ref[M]
	giveBack func(M, error)
}

func (*remains[M]) MailboxStarted()   {}
func (*remains[M]) MessagePosted(any) {}
func (*remains[M]) MailboxEmpty()     {}

// MessageReceived is called after each message, whether the actor saw it or
// not.
func (r *remains[M]) MessageReceived(message any) {
	select {
	case <-r.self.to.gone:
		if m, ok := message.(M); ok {
			r.giveBack(m, types.ErrClosed)
		}
	default:
	}
}

// reopened is a mailbox that goes on emptying itself when its actor was stopped
// while it waited for a restart.
type reopened struct {
	actor.Mailbox
	gone <-chan struct{}
}

// PostSystemMessage implements actor.Mailbox.
func (r *reopened) PostSystemMessage(message any) {
	r.Mailbox.PostSystemMessage(message)
	if _, stop := message.(*actor.Stop); stop {
		r.Mailbox.PostSystemMessage(&actor.ResumeMailbox{})
	}
}
