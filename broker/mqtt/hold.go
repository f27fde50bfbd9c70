package mqtt

import (
	"time"

	"github.com/mqttdb/mqttdb/broker"
)

var _ broker.Holder = (*link)(nil)

// Hold implements broker.Holder.
func (l *link) Hold(on bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case !on:
		l.unhold()
	case l.held == nil && !l.closing && !l.down:
		l.held = make(chan struct{})
	}
}

// unhold lets the reader go on. mu is held.
func (l *link) unhold() {
	if l.held != nil {
		close(l.held)
		l.held = nil
	}
}

// onHold returns what is closed when the reader may go on, nil if it may.
func (l *link) onHold() <-chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.held
}

// awaitRelease waits while the link is on hold.
func (l *link) awaitRelease() {
	for held := l.onHold(); held != nil; held = l.onHold() {
		<-held
		l.keepalive.heard(time.Now()) // it may have spoken meanwhile
	}
}
