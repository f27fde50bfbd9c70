//go:build linux

package main

import (
	"context"
	"errors"
	"os"
	"path/filepath"
)

// upstream is the broker that contenders send to, a real mosquitto that comes and
// goes, with the subscriber that checks what passes it. The subscriber's session
// is made beforehand and is there whenever the broker is, and mosquitto keeps what
// comes before the subscriber is back: what the subscriber misses was not sent.
type upstream struct {
	dir, addr string
	ledger    *ledger

	broker     *mosquitto // nil: it is away
	subscriber *subscriber
}

// upstreamLines: nothing is saved but when it ends in good order, which it does
// once; and no queue is limited.
var upstreamLines = []string{"persistence true", "autosave_interval 0", "queue_qos0_messages true", "max_queued_messages 0"}

// newUpstream makes a broker that is away.
func newUpstream(ctx context.Context, dir string) (*upstream, error) {
	addr, err := freeAddr()
	if err != nil {
		return nil, err
	}
	u := &upstream{dir: filepath.Join(dir, "upstream"), addr: addr, ledger: newLedger()}
	if err := os.MkdirAll(u.dir, 0o700); err != nil {
		return nil, err
	}
	m, err := startMosquitto(ctx, u.dir, addr, u.lines()...)
	if err != nil {
		return nil, err
	}
	if err := subscribeOnce(addr); err != nil {
		m.stop()
		return nil, err
	}
	return u, m.end(ctx)
}

func (u *upstream) lines() []string {
	return append([]string{"persistence_location " + u.dir + "/"}, upstreamLines...)
}

// start brings the broker and its subscriber back.
func (u *upstream) start(ctx context.Context) error {
	m, err := startMosquitto(ctx, u.dir, u.addr, u.lines()...)
	if err != nil {
		return err
	}
	s, err := startSubscriber(u.addr, u.ledger)
	if err != nil {
		m.stop()
		return err
	}
	u.broker, u.subscriber = m, s
	return nil
}

// stop kills the broker.
func (u *upstream) stop() {
	if u.broker != nil {
		u.subscriber.stop()
		u.broker.stop()
		u.broker, u.subscriber = nil, nil
	}
}

// forget begins a new ledger, while the broker is away.
func (u *upstream) forget() error {
	if u.broker != nil {
		return errors.New("the subscriber is at work")
	}
	u.ledger = newLedger()
	return nil
}
