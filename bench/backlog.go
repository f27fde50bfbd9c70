//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/mqttdb/mqttdb/bench/protocol"
)

// backlog is what a contender did with messages that waited.
type backlog struct {
	wanted, stored int
	filled         time.Duration // for what is stored
	refused        error         // why it took no more
	watched        time.Duration // at most, for what arrives

	enqueuing, idle, draining float64 // bytes of memory; most, then, most
	disk                      float64 // bytes for each message

	first   time.Duration // from the start to the first message out; 0: none came
	rate    float64       // messages/s out
	cpu     float64       // µs for each
	arrived int
	lost    int // missing when nothing came any more
	late    bool
	ended   bool // the contender, by itself, before all had come
	doubled int
	reorder int
	damaged int
	crashed bool // it was killed while they waited, else it was closed
}

// measureBacklog lets the i-th backlog wait in a contender, ends the contender,
// and lets it drain once it is there again. The largest one ends by kill -9.
func (b *bench) measureBacklog(ctx context.Context, p plan, u *upstream, s *standing, i int) (err error) {
	dir, err := os.MkdirTemp(b.dir, s.name)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	if err := u.forget(); err != nil {
		return err
	}
	running, err := s.begin(ctx, dir, u.addr)
	if err != nil {
		return err
	}
	defer func() { running.kill() }()
	if i == 0 {
		if s.empty, err = restingMemory(ctx, running, p.rest); err != nil {
			return err
		}
	}
	g := &s.backlogs[i]
	g.wanted, g.crashed = p.backlogs[i], i == len(p.backlogs)-1
	next, err := g.fill(ctx, running, p.filling)
	if err != nil {
		return fmt.Errorf("after %d messages: %w", g.stored, err)
	}
	rest := p.rest
	if g.crashed {
		rest *= 3
	}
	if g.idle, err = restingMemory(ctx, running, rest); err != nil {
		return err
	}
	size, err := diskUsage(dir)
	if err != nil {
		return err
	}
	g.disk = size / float64(g.stored)
	if g.crashed {
		running.kill()
	} else if err := closeInTime(ctx, running); err != nil {
		return err
	}
	if err := u.start(ctx); err != nil {
		return err
	}
	defer u.stop()
	began := time.Now()
	again, err := s.begin(ctx, dir, u.addr)
	if err != nil {
		return fmt.Errorf("start with %d pending: %w", g.stored, err)
	}
	running = again
	limit := p.draining
	if g.crashed {
		limit *= 2
	}
	watched, stop := whileRunning(ctx, running)
	defer stop()
	return g.drain(watched, running, u, next, began, limit)
}

// fill gives a contender messages until it has all or the time is over.
func (g *backlog) fill(ctx context.Context, running product, limit time.Duration) (next []uint64, err error) {
	ctx, cancel := context.WithTimeout(ctx, limit+30*time.Second)
	defer cancel()
	forgetPeak(running.pid())
	began := time.Now()
	for g.stored < g.wanted && time.Since(began) < limit {
		a, err := running.enqueue(ctx, protocol.Order{
			Producers: clients, Window: 20, First: next,
			// In parts, for those who do not stop when the time is over.
			Messages: min(g.wanted-g.stored, 20_000), Seconds: (limit - time.Since(began)).Seconds(),
		})
		if err != nil && g.stored == 0 {
			return next, err
		} else if err != nil {
			g.refused = err
			break
		}
		if a.Stored == 0 {
			break
		}
		g.stored += a.Stored
		next = a.Next
	}
	g.filled = time.Since(began)
	if g.stored == 0 {
		return nil, errors.New("nothing was stored")
	}
	g.enqueuing, err = memory(running.pid(), "VmHWM")
	return next, err
}

// drain watches what arrives.
func (g *backlog) drain(ctx context.Context, running product, u *upstream, next []uint64, began time.Time, limit time.Duration) error {
	g.watched = limit
	patience := 2 * limit // some take long to find their first message
	if err := u.subscriber.await(ctx, 1, patience, patience); over(err) {
		g.watched, g.lost, g.ended = patience, g.stored, errors.Is(err, errEnded)
		return nil
	} else if err != nil {
		return err
	}
	had, before := 0, time.Duration(0)
	u.subscriber.look(func(l *ledger) { g.first, had = l.first.Sub(began), l.arrived })
	if had <= g.stored/10 {
		forgetPeak(running.pid())
		var err error
		if before, err = processCPU(running.pid()); err != nil {
			return err
		}
	} else {
		had = 0 // some answer when all is over: then their start counts as well
	}
	waited := u.subscriber.await(ctx, g.stored, max(limit/2, 2*time.Second), limit)
	if g.ended = errors.Is(waited, errEnded); g.ended {
		u.subscriber.look(func(l *ledger) {
			g.arrived, g.rate, g.lost = l.arrived, l.rate(), l.missing(nil, next)
			g.doubled, g.reorder, g.damaged = l.doubled, l.reordered, l.damaged+l.misplaced
		})
		return nil
	}
	after, err := processCPU(running.pid())
	if err != nil {
		return err
	}
	if g.draining, err = memory(running.pid(), "VmHWM"); err != nil {
		return err
	}
	u.subscriber.look(func(l *ledger) {
		g.arrived, g.rate, g.doubled, g.reorder, g.damaged = l.arrived, l.rate(), l.doubled, l.reordered, l.damaged+l.misplaced
		g.cpu = float64((after - before).Microseconds()) / float64(l.arrived-had)
		if !errors.Is(waited, errLate) {
			g.lost = l.missing(nil, next)
		}
	})
	g.late = errors.Is(waited, errLate)
	if over(waited) {
		return nil
	}
	return waited
}

// restingMemory is what a contender has in memory after a rest.
func restingMemory(ctx context.Context, running product, rest time.Duration) (float64, error) {
	select {
	case <-time.After(rest):
	case <-ctx.Done():
		return 0, ctx.Err()
	}
	return memory(running.pid(), "VmRSS")
}

// closeInTime ends a contender in good order.
func closeInTime(ctx context.Context, running product) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	return running.close(ctx)
}
