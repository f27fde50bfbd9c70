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

// measureThrough lets single messages pass a contender with nothing pending.
func (b *bench) measureThrough(ctx context.Context, p plan, u *upstream, s *standing) (err error) {
	dir, err := os.MkdirTemp(b.dir, s.name)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	var running product
	defer func() {
		if running != nil {
			running.kill()
		}
	}()
	s.through, err = u.singles(ctx, p.singles, func(ctx context.Context) (publish func(uint64) error, leave func() error, err error) {
		if running, err = s.begin(ctx, dir, u.addr); err != nil {
			return nil, nil, err
		}
		return running.single(ctx)
	})
	return err
}

// singles brings the broker up and lets whom connect connects publish n messages,
// each when the last one has arrived, and one before that does not count. It
// returns how long they took.
func (u *upstream) singles(ctx context.Context, n int, connect func(context.Context) (func(number uint64) error, func() error, error)) (times protocol.Latencies, err error) {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	if err := errors.Join(u.forget(), u.start(ctx)); err != nil {
		return nil, err
	}
	defer u.stop()
	publish, leave, err := connect(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, leave()) }()
	for i := range n + 1 {
		began := time.Now()
		if err := publish(uint64(i)); err != nil {
			return nil, err
		}
		if err := u.subscriber.await(ctx, i+1, 20*time.Second, 20*time.Second); err != nil {
			return nil, fmt.Errorf("message %d: %w", i, err)
		}
		if i > 0 {
			u.subscriber.look(func(l *ledger) { times.Add(l.last.Sub(began)) })
		}
	}
	return times, nil
}

// bare is the rate at which messages pass the broker that one client publishes as
// fast as it can with a window, and that are there already: the limit of a drain.
func (u *upstream) bare(ctx context.Context, n, window int) (rate float64, err error) {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	if err := errors.Join(u.forget(), u.start(ctx)); err != nil {
		return 0, err
	}
	defer u.stop()
	c, err := connect(u.addr, "bench-bare")
	if err != nil {
		return 0, err
	}
	defer c.conn.Close()
	o := &ordered{sent: make([]time.Time, window)}
	if _, err := c.run(&publisher{topic: protocol.Topic(0), window: window, more: upTo(n), order: o}); err != nil {
		return 0, err
	}
	if err := u.subscriber.await(ctx, n, 20*time.Second, 20*time.Second); err != nil {
		return 0, err
	}
	u.subscriber.look(func(l *ledger) { rate = l.rate() })
	return rate, nil
}
