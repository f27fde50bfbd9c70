//go:build linux

package main

import (
	"context"
	"errors"
	"os"
	"time"

	"github.com/mqttdb/mqttdb/bench/protocol"
)

// measureBusy lets a contender store as much as it can while its broker is there,
// and counts what arrives meanwhile.
func (b *bench) measureBusy(ctx context.Context, p plan, u *upstream, s *standing) (err error) {
	dir, err := os.MkdirTemp(b.dir, s.name)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	if err := errors.Join(u.forget(), u.start(ctx)); err != nil {
		return err
	}
	defer u.stop()
	running, err := s.begin(ctx, dir, u.addr)
	if err != nil {
		return err
	}
	defer running.kill()
	ctx, cancel := context.WithTimeout(ctx, p.length+time.Minute)
	defer cancel()
	// It is linked when the first message has come.
	publish, leave, err := running.single(ctx)
	if err != nil {
		return err
	}
	if err := errors.Join(publish(0), leave()); err != nil {
		return err
	}
	if err := u.subscriber.await(ctx, 1, 20*time.Second, 20*time.Second); err != nil {
		return err
	}
	began := time.Now()
	first := make([]uint64, clients)
	first[0] = 1
	if _, err := running.enqueue(ctx, protocol.Order{Producers: clients, Window: 20, Seconds: 2 * p.length.Seconds(), First: first}); err != nil {
		return err
	}
	took := time.Since(began)
	u.subscriber.look(func(l *ledger) { s.busy = float64(l.arrived-1) / took.Seconds() })
	return nil
}
