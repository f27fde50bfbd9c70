package actors

import "github.com/asynkron/protoactor-go/actor"

// worker is the goroutine of an actor: it stays, with the stack that it has
// grown, where protoactor's own dispatcher starts a new one whenever a message
// comes to an empty mailbox.
type worker struct {
	work chan func()
	gone <-chan struct{}
}

var _ actor.Dispatcher = (*worker)(nil)

// newWorker starts a goroutine that ends when gone is closed.
func newWorker(gone <-chan struct{}) *worker {
	w := &worker{make(chan func()), gone}
	go w.run()
	return w
}

func (w *worker) run() {
	for {
		select {
		case f := <-w.work:
			f()
		case <-w.gone:
			return
		}
	}
}

// Schedule implements actor.Dispatcher. Nothing is lost when the worker is just
// about to rest, or has ended.
func (w *worker) Schedule(f func()) {
	select {
	case w.work <- f:
	default:
		go f()
	}
}

// Throughput implements actor.Dispatcher: how many messages are served in a row.
func (w *worker) Throughput() int { return 300 }
