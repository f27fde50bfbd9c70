//go:build !js

package prove

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/mqttdb/mqttdb/broker"
)

// dialer opens a link to one place: the broker, or the gateway.
type dialer func(ctx context.Context, o broker.ConnectOptions, events func(broker.Event)) (broker.Link, broker.Session, error)

// link is a link whose events wait until they are taken.
type link struct {
	broker.Link
	session broker.Session
	down    error // once it is down

	mu     sync.Mutex
	events []broker.Event
	ready  chan struct{} // has something if there are events
}

var errLinkDown = errors.New("the link was ended by the other side")

// connect opens a link.
func (d dialer) connect(ctx context.Context, clientID string, clean bool) (*link, error) {
	l := &link{ready: make(chan struct{}, 1)}
	var err error
	l.Link, l.session, err = d(ctx, broker.ConnectOptions{ClientID: clientID, CleanSession: clean, KeepAlive: 30 * time.Second}, l.put)
	if err != nil {
		return nil, err
	}
	return l, nil
}

func (l *link) put(e broker.Event) {
	l.mu.Lock()
	l.events = append(l.events, e)
	l.mu.Unlock()
	select {
	case l.ready <- struct{}{}:
	default:
	}
}

// take returns the events that there are, in order, and an error if the link is
// down. It is for one goroutine.
func (l *link) take() ([]broker.Event, error) {
	l.mu.Lock()
	events := l.events
	l.events = nil
	l.mu.Unlock()
	for _, e := range events {
		if d, over := e.(broker.Down); over {
			l.down = errLinkDown
			if d.Err != nil {
				l.down = fmt.Errorf("%w: %w", errLinkDown, d.Err)
			}
		}
	}
	return events, l.down
}

// await waits for an event that answers: it is asked about each until it says yes.
func (l *link) await(ctx context.Context, answers func(broker.Event) bool) error {
	for {
		events, err := l.take()
		for _, e := range events {
			if answers(e) {
				return nil
			}
		}
		if err != nil {
			return err
		}
		select {
		case <-l.ready:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// leave ends the link in good order.
func (l *link) leave(ctx context.Context) {
	l.Close(true)
	if l.await(ctx, func(broker.Event) bool { return false }); l.down == nil {
		l.Close(false)
	}
}

// publish publishes one message and waits until the other side has taken it.
func (l *link) publish(ctx context.Context, p broker.Publish) error {
	if err := l.Publish([]broker.Publish{p}); err != nil {
		return err
	}
	var failed error
	err := l.await(ctx, func(e broker.Event) bool {
		acked, ok := e.(broker.Acked)
		if !ok {
			return false
		}
		for _, a := range acked.Acks {
			switch {
			case a.ID != p.ID:
			case a.Kind == broker.PubRec:
				failed = l.Release([]uint16{p.ID})
			default:
				return true
			}
		}
		return failed != nil
	})
	return errors.Join(err, failed)
}
