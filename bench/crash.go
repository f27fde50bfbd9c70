//go:build linux

package main

import (
	"context"
	"errors"
	"os"
	"time"

	"github.com/mqttdb/mqttdb/bench/protocol"
)

// crash is what kill -9 of a contender that stores messages did to those that it
// had acknowledged before.
type crash struct {
	there  bool // the broker, when it happened
	stored int  // acknowledged

	lost, doubled, reordered, damaged int
	late                              bool // time was over before it was still: what was not lost may be to come
}

// measureCrash kills a contender in the middle of an order, when an earlier order
// has been acknowledged, and lets it start again with its broker. What the second
// order has stored nobody knows; of the first one all must come.
func (b *bench) measureCrash(ctx context.Context, p plan, u *upstream, s *standing, there bool) (err error) {
	dir, err := os.MkdirTemp(b.dir, s.name)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	if err := u.forget(); err != nil {
		return err
	}
	defer u.stop()
	if there {
		if err := u.start(ctx); err != nil {
			return err
		}
	}
	running, err := s.begin(ctx, dir, u.addr)
	if err != nil {
		return err
	}
	defer func() { running.kill() }()
	limited, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	order := protocol.Order{Producers: clients, Window: 20, Messages: p.crash}
	a, err := running.enqueue(limited, order)
	if err != nil {
		return err
	}
	if a.Stored != order.Messages {
		return errors.New("it does not acknowledge what it is given")
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		// It fails: whom it is for is killed.
		_, _ = running.enqueue(limited, protocol.Order{Producers: clients, Window: 20, Seconds: 10, First: a.Next})
	}()
	select {
	case <-time.After(100 * time.Millisecond):
	case <-ended: // what is killed may as well be idle
	case <-ctx.Done():
	}
	running.kill()
	<-ended
	if !there {
		if err := u.start(ctx); err != nil {
			return err
		}
	}
	had, lost := 0, 0
	u.subscriber.look(func(l *ledger) { had, lost = l.arrived, l.missing(nil, a.Next) })
	again, err := s.begin(ctx, dir, u.addr)
	if err != nil {
		return err
	}
	running = again
	watched, stop := whileRunning(ctx, running)
	defer stop()
	if lost > 0 {
		// It may take its time to find its broker and its first message.
		if err := u.subscriber.await(watched, had+1, p.settling, p.settling); err != nil && !over(err) {
			return err
		}
	}
	waited := u.subscriber.await(watched, 0, p.still, p.settling)
	if !over(waited) {
		return waited
	}
	c := crash{there: there, stored: a.Stored, late: errors.Is(waited, errLate)}
	u.subscriber.look(func(l *ledger) {
		c.lost, c.doubled, c.reordered, c.damaged = l.missing(nil, a.Next), l.doubled, l.reordered, l.damaged+l.misplaced
	})
	s.crashes = append(s.crashes, c)
	return nil
}
