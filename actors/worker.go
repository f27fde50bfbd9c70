package actors

import (
	"sync"
	"sync/atomic"

	"github.com/asynkron/protoactor-go/actor"
)

// spareWorkers is how many goroutines without work are kept. More than a few
// actors seldom run at once, however many there are.
const spareWorkers = 16

// workers are the goroutines that the actors of a system run on. An actor to
// which nothing is said has none. One that has served an actor waits for the
// next, with the stack that it has grown, where protoactor's own dispatcher
// starts a new one whenever a message comes to an empty mailbox.
type workers struct {
	work chan func()
	idle atomic.Int32
	rest atomic.Pointer[chan struct{}] // closed: nobody is to wait for work

	mu     sync.Mutex
	actors int // that there are
}

var _ actor.Dispatcher = (*workers)(nil)

func newWorkers() *workers { return &workers{work: make(chan func())} }

// enter takes note of an actor that will need them.
func (w *workers) enter() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.actors++; w.actors == 1 {
		rest := make(chan struct{})
		w.rest.Store(&rest)
	}
}

// leave takes note of an actor that has stopped. With the last one all
// goroutines end.
func (w *workers) leave() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.actors--; w.actors == 0 {
		close(*w.rest.Load())
	}
}

// Schedule implements actor.Dispatcher. It never waits.
func (w *workers) Schedule(f func()) {
	select {
	case w.work <- f:
	default:
		go w.run(f)
	}
}

// run serves one actor after the other until there is nothing to do.
func (w *workers) run(f func()) {
	for {
		f()
		if w.idle.Add(1) > spareWorkers {
			w.idle.Add(-1)
			return
		}
		select {
		case f = <-w.work:
			w.idle.Add(-1)
		case <-*w.rest.Load():
			w.idle.Add(-1)
			return
		}
	}
}

// Throughput implements actor.Dispatcher: how many messages are served in a row.
func (w *workers) Throughput() int { return 300 }
