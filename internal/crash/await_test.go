//go:build unix

package crash

import (
	"sync"
	"testing"
	"time"
)

// patience is how long a test waits without seeing anything happen. It is for
// tests that fail: nothing here takes nearly as long.
const patience = 60 * time.Second

// pulse tells all who wait that something happened. The zero value is ready.
type pulse struct {
	mu   sync.Mutex
	beat chan struct{}
}

// next is closed at the next beat.
func (p *pulse) next() <-chan struct{} {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.beat == nil {
		p.beat = make(chan struct{})
	}
	return p.beat
}

func (p *pulse) tell() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.beat != nil {
		close(p.beat)
		p.beat = nil
	}
}

// await waits until the condition holds; it is looked at after each beat. The
// test fails when nothing happens any more.
func await(t testing.TB, p *pulse, what string, condition func() bool) {
	t.Helper()
	for {
		next := p.next()
		if condition() {
			return
		}
		select {
		case <-next:
		case <-time.After(patience):
			t.Fatalf("waiting for %s: nothing happened for %v", what, patience)
		}
	}
}

// poll waits until the condition holds, for what tells nobody that it changed.
func poll(t testing.TB, every time.Duration, what string, condition func() bool) {
	t.Helper()
	late := time.After(patience)
	again := time.NewTicker(every)
	defer again.Stop()
	for !condition() {
		select {
		case <-again.C:
		case <-late:
			t.Fatalf("waiting for %s: not within %v", what, patience)
		}
	}
}

// moment lets a kill come at an odd moment, that far from the event before it.
func moment(d time.Duration) { <-time.After(d) }
