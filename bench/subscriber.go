//go:build linux

package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// subscriber is an MQTT client that enters what arrives into a ledger. It has a
// session at the broker, so that nothing passes it by while it connects.
type subscriber struct {
	mu     sync.Mutex
	ledger *ledger

	client *client
	news   chan struct{} // has something when something has come or the connection has ended
	ended  chan error
}

const (
	subscriberName   = "bench-subscriber"
	subscriberFilter = "bench/#"
)

// subscribeOnce makes the session.
func subscribeOnce(addr string) error {
	c, err := connectAs(addr, subscriberName, false)
	if err != nil {
		return err
	}
	return errors.Join(c.subscribe(subscriberFilter), c.conn.Close())
}

// startSubscriber goes on with the session of subscribeOnce.
func startSubscriber(addr string, l *ledger) (*subscriber, error) {
	c, err := resume(addr, subscriberName)
	if err != nil {
		return nil, err
	}
	s := &subscriber{ledger: l, client: c, news: make(chan struct{}, 1), ended: make(chan error, 1)}
	c.in = bufio.NewReaderSize(c.in, 256<<10) // what has come with CONNACK is in the smaller one
	go s.read()
	return s, nil
}

// read enters what comes until the connection ends.
func (s *subscriber) read() {
	var err error
	for err == nil {
		if _, err = s.client.in.Peek(1); err != nil {
			break
		}
		when := time.Now()
		s.mu.Lock()
		for err == nil && s.client.in.Buffered() > 0 {
			err = s.take(when)
		}
		s.mu.Unlock()
		s.tell()
	}
	s.ended <- err
	s.tell()
}

func (s *subscriber) tell() {
	select {
	case s.news <- struct{}{}:
	default:
	}
}

// take enters one packet.
func (s *subscriber) take(when time.Time) error {
	first, err := s.client.in.ReadByte()
	if err != nil {
		return err
	}
	size, err := varint(s.client.in)
	if err != nil {
		return err
	}
	if size > s.client.in.Size() {
		return fmt.Errorf("a packet of %d bytes", size)
	}
	body, err := s.client.in.Peek(size)
	if err != nil {
		return err
	}
	if first>>4 != 3 || first&6 != 0 || size < 2 || size < 2+int(body[0])<<8+int(body[1]) {
		return fmt.Errorf("packet %x of %d bytes is no PUBLISH with QoS 0", first, size)
	}
	end := 2 + int(body[0])<<8 + int(body[1])
	s.ledger.enter(string(body[2:end]), body[end:], when)
	_, err = s.client.in.Discard(size)
	return err
}

// look lets f read the ledger.
func (s *subscriber) look(f func(*ledger)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f(s.ledger)
}

// errQuiet means that nothing came any more, and errLate that it took too long.
var (
	errQuiet = errors.New("nothing comes any more")
	errLate  = errors.New("it took too long")
)

// over says that what await waits for does not come any more, or not in time; other
// errors are the bench's own.
func over(err error) bool {
	return errors.Is(err, errQuiet) || errors.Is(err, errLate) || errors.Is(err, errEnded)
}

// await waits until so many messages have come, or for ever if that is less than
// 1. It ends with errQuiet when nothing new has come for quiet, and with errLate
// after limit. When ctx ends it returns its cause.
func (s *subscriber) await(ctx context.Context, messages int, quiet, limit time.Duration) error {
	late := time.NewTimer(limit)
	defer late.Stop()
	still := time.NewTimer(quiet)
	defer still.Stop()
	for had := -1; ; {
		arrived := 0
		s.look(func(l *ledger) { arrived = l.arrived })
		if messages > 0 && arrived >= messages {
			return nil
		}
		if arrived != had {
			had = arrived
			still.Reset(quiet)
		}
		select {
		case <-s.news:
		case err := <-s.ended:
			s.ended <- err
			return fmt.Errorf("the subscriber ended: %w", err)
		case <-still.C:
			return errQuiet
		case <-late.C:
			return errLate
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// stop ends the connection.
func (s *subscriber) stop() {
	s.client.conn.Close()
	<-s.ended // with whatever error: the broker may have been there first
}
