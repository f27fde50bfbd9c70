//go:build !js

package prove

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/mqttdb/mqttdb/broker"
	"github.com/mqttdb/mqttdb/types"
)

// subscriber is an MQTT client at the broker, or at the gateway for what comes from
// the broker, that gets everything that is delivered there. It has a persistent
// session; its own link is not cut, but by the end of a gateway.
type subscriber struct {
	dial     dialer
	clientID string
	filter   broker.Filter
	forgot   error // what it means that the session is not kept; nil: the protocol does not say that it is

	// delivered is told each message once, whatever becomes of the link; again if
	// the broker may have delivered it before, which at QoS 1 nobody can know.
	delivered func(m *types.Message, again bool)

	link   *link
	open   map[uint16]bool // QoS 2 ids of which PUBREL has not come
	losses atomic.Int32    // of the link
}

// The broker is asked for another link that long after one was lost.
const retryTime = 200 * time.Millisecond

// join connects and subscribes.
func (s *subscriber) join(ctx context.Context) error {
	l, err := s.dial.connect(ctx, s.clientID, false)
	if err != nil {
		return err
	}
	s.link, s.open = l, make(map[uint16]bool)
	if err := l.Subscribe(1, []broker.Filter{s.filter}); err != nil {
		return err
	}
	granted := byte(0x80)
	err = l.await(ctx, func(e broker.Event) bool {
		answer, ok := e.(broker.Subscribed)
		if ok && len(answer.Codes) == 1 {
			granted = answer.Codes[0]
		}
		return ok
	})
	switch {
	case errors.Is(err, errLinkDown):
		return unfit("the broker ended the link when we subscribed to %s: allow that to this user, or choose other topics by --topic", s.filter.Topic)
	case err != nil:
		return fmt.Errorf("subscribe to %s: %w", s.filter.Topic, err)
	case granted > 2:
		return unfit("the broker does not let this user subscribe to %s: allow that, or choose other topics by --topic", s.filter.Topic)
	case granted < byte(s.filter.QoS):
		return unfit("the broker grants QoS %d at most to subscribers, so that nobody could see what arrives with QoS %v: try a lower --qos", granted, s.filter.QoS)
	}
	return nil
}

// run takes what comes until ctx ends, also on further links when one is lost. Its
// error is never nil.
func (s *subscriber) run(ctx context.Context) error {
	for {
		err := s.serve(ctx)
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if !errors.Is(err, errLinkDown) {
			return err
		}
		s.losses.Add(1)
		if err := s.rejoin(ctx); err != nil {
			return err
		}
	}
}

// listening is a subscriber that runs.
type listening struct {
	*subscriber
	cancel context.CancelFunc
	ended  chan error    // has what it ended with
	gone   chan struct{} // closed then
}

// listen starts a subscriber that has joined.
func listen(ctx context.Context, s *subscriber) *listening {
	ctx, cancel := context.WithCancel(ctx)
	l := &listening{subscriber: s, cancel: cancel, ended: make(chan error, 1), gone: make(chan struct{})}
	go func() {
		defer close(l.gone)
		l.ended <- s.run(ctx)
	}()
	return l
}

// stop ends it, and its link.
func (l *listening) stop() {
	l.cancel()
	<-l.gone
	l.link.Close(false)
}

// rejoin connects again. That the broker is away for a while is nothing new to
// what is proven here; that it forgets is.
func (s *subscriber) rejoin(ctx context.Context) error {
	for {
		l, err := s.dial.connect(ctx, s.clientID, false)
		if err == nil {
			if s.forgot != nil && !l.session.Present {
				return s.forgot
			}
			s.link = l
			return nil
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(retryTime):
		}
	}
}

// serve takes what comes on one link.
func (s *subscriber) serve(ctx context.Context) error {
	for {
		events, err := s.link.take()
		for _, e := range events {
			received, ok := e.(broker.Received)
			if !ok {
				continue
			}
			if err := s.receive(received.Packets); err != nil {
				return fmt.Errorf("%w: %w", errLinkDown, err)
			}
		}
		if err != nil {
			return err
		}
		select {
		case <-s.link.ready:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// receive takes and acknowledges packets.
func (s *subscriber) receive(packets []broker.Inbound) error {
	var acks []broker.Ack
	for i := range packets {
		p := &packets[i]
		switch {
		case p.Kind == broker.Release:
			delete(s.open, p.ID)
			acks = append(acks, broker.Ack{Kind: broker.PubComp, ID: p.ID})
		case p.Message.QoS == 2:
			if !s.open[p.ID] {
				s.open[p.ID] = true
				s.delivered(&p.Message, false)
			}
			acks = append(acks, broker.Ack{Kind: broker.PubRec, ID: p.ID})
		default:
			s.delivered(&p.Message, p.Dup)
			if p.Message.QoS == 1 {
				acks = append(acks, broker.Ack{Kind: broker.PubAck, ID: p.ID})
			}
		}
	}
	if len(acks) == 0 {
		return nil
	}
	return s.link.Acknowledge(acks)
}
