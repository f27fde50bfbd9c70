package actors

import (
	"context"
	"log/slog"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/mqttdb/mqttdb/types"
)

// Ref is the address of an actor that understands messages of type M and no
// others. It may be copied and used concurrently. What is told by one goroutine
// arrives in that order. The zero Ref takes messages and forgets them.
type Ref[M any] struct{ to *address }

// address is what all Refs to an actor share. It outlives restarts.
type address struct {
	name string
	post func(message any) // into the mailbox; never blocks
	gone chan struct{}     // closed when the actor has stopped for good
	log  *slog.Logger
}

// Tell sends m and does not wait. What is told to an actor that has stopped is
// given back: whoever waits for an answer to it gets types.ErrClosed.
func (r Ref[M]) Tell(m M) {
	if r.to != nil {
		r.to.post(m)
	}
}

// Gone is closed when the actor has stopped for good; nil for the zero Ref.
func (r Ref[M]) Gone() <-chan struct{} {
	if r.to == nil {
		return nil
	}
	return r.to.gone
}

// Name is the actor's name in its actor system: "mqttdb/cloud/outgoing".
func (r Ref[M]) Name() string {
	if r.to == nil {
		return ""
	}
	return r.to.name
}

// Stop tells the actor to stop behind all it was told so far, and waits until
// it has, or until ctx ends.
func (r Ref[M]) Stop(ctx context.Context) error {
	if r.to == nil {
		return nil
	}
	r.to.post(&actor.PoisonPill{}) // not a Stop, which would overtake
	select {
	case <-r.to.gone:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Kill makes the actor fail as by a bug, when it comes to it. It is for tests
// and for drills: nothing may be lost by it.
func (r Ref[M]) Kill() {
	if r.to != nil {
		r.to.post(kill{})
	}
}

type kill struct{}

// Reply takes the answer to a message. It must not block. The first call
// counts: after a failure of the actor there may be a second one.
type Reply[R any] func(answer R, err error)

// answer calls r unless nobody wants to know.
func (r Reply[R]) answer(v R, err error) {
	if r != nil {
		r(v, err)
	}
}

// Ask tells r the message that is built around a Reply, and waits for the
// answer, for the end of ctx, or for that of the actor (types.ErrClosed).
func Ask[R, M any](ctx context.Context, r Ref[M], message func(Reply[R]) M) (R, error) {
	type answer struct {
		value R
		err   error
	}
	var none R
	answers := make(chan answer, 1)
	r.Tell(message(func(v R, err error) {
		select {
		case answers <- answer{v, err}:
		default: // the first one counts
		}
	}))
	select {
	case a := <-answers:
		return a.value, a.err
	case <-ctx.Done():
		return none, ctx.Err()
	case <-r.Gone():
	}
	select { // it may have answered before it stopped
	case a := <-answers:
		return a.value, a.err
	default:
		return none, types.ErrClosed
	}
}
