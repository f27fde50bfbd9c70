//go:build !js

package prove

import "sync"

// pulse tells all who wait that something has changed. The zero value is ready,
// and may be used concurrently.
type pulse struct {
	mu   sync.Mutex
	beat chan struct{}
}

// next is closed when something changes. Whoever waits takes it before looking.
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
