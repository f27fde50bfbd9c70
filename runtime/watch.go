package runtime

import (
	"context"
	"sync"
	"time"

	"github.com/mqttdb/mqttdb/types"
)

// watchInterval is the shortest time between two statuses that a watcher gets.
const watchInterval = 250 * time.Millisecond

// board knows who wants to be told that some status changed. Telling never
// blocks: a watcher that is slow finds out later, once.
type board struct {
	mu       sync.Mutex
	watchers map[chan struct{}]bool
	closed   bool
}

// changed tells all watchers.
func (b *board) changed() {
	b.mu.Lock()
	defer b.mu.Unlock()
	for w := range b.watchers {
		select {
		case w <- struct{}{}:
		default: // it knows already
		}
	}
}

// watch adds a watcher; the channel is closed with the board.
func (b *board) watch() chan struct{} {
	b.mu.Lock()
	defer b.mu.Unlock()
	w := make(chan struct{}, 1)
	if b.closed {
		close(w)
		return w
	}
	if b.watchers == nil {
		b.watchers = make(map[chan struct{}]bool)
	}
	b.watchers[w] = true
	return w
}

func (b *board) leave(w chan struct{}) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.watchers, w)
}

func (b *board) close() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.closed = true
	for w := range b.watchers {
		delete(b.watchers, w)
		close(w)
	}
}

// Watch returns the statuses of all connections, now and after changes: at most
// four times a second, and always the latest. The channel is closed when ctx
// ends or the runtime is closed. A reader that is slow misses what lies between
// and holds up nobody.
func (rt *Runtime) Watch(ctx context.Context) <-chan []types.Status {
	out := make(chan []types.Status)
	changes := rt.board.watch()
	go func() {
		defer close(out)
		defer rt.board.leave(changes)
		for {
			select {
			case out <- rt.Status():
			case <-ctx.Done():
				return
			case <-rt.closed: // nobody may ever read
				return
			}
			pause := time.NewTimer(watchInterval)
			select {
			case <-pause.C:
			case <-ctx.Done():
				pause.Stop()
				return
			}
			select {
			case _, ok := <-changes:
				if !ok {
					return
				}
			case <-ctx.Done():
				return
			}
		}
	}()
	return out
}

// await waits until condition holds; it is checked now and after each change.
// It returns the error of ctx, or types.ErrClosed when the runtime was closed.
func (rt *Runtime) await(ctx context.Context, condition func() bool) error {
	changes := rt.board.watch()
	defer rt.board.leave(changes)
	for !condition() {
		select {
		case _, ok := <-changes:
			if !ok {
				return types.ErrClosed
			}
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}
