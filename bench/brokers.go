//go:build linux

package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"github.com/mqttdb/mqttdb/bench/protocol"
)

// localBroker is a contender whose producers are MQTT clients: those of a swarm.
type localBroker struct {
	addr    string
	process *exec.Cmd
	exited  <-chan error
	gone    bool
}

func (p *localBroker) enqueue(_ context.Context, o protocol.Order) (protocol.Answer, error) {
	return publishOrder(p.addr, o)
}

func (p *localBroker) single(context.Context) (func(number uint64) error, func() error, error) {
	return singlePublisher(p.addr)
}

// singlePublisher connects a client that publishes one message after the other.
func singlePublisher(addr string) (publish func(number uint64) error, leave func() error, err error) {
	c, err := connect(addr, "bench-single")
	if err != nil {
		return nil, nil, err
	}
	return func(number uint64) error {
		_, err := c.publishOne(&ordered{next: number, sent: make([]time.Time, 1)})
		return err
	}, c.conn.Close, nil
}

func (p *localBroker) pid() int { return p.process.Process.Pid }

func (p *localBroker) ended() <-chan struct{} { return nil }

func (p *localBroker) kill() {
	if !p.gone {
		_ = p.process.Process.Kill() // it may be gone
		<-p.exited
		p.gone = true
	}
}

func (p *localBroker) close(ctx context.Context) error {
	if err := p.process.Process.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	select {
	case <-p.exited:
		p.gone = true
		return nil
	case <-ctx.Done():
		p.kill()
		return fmt.Errorf("it does not end: %w", ctx.Err())
	}
}

// prepareGateway is for this gateway.
func prepareGateway(_ context.Context, b *bench) (starter, error) {
	return starter{version: b.report.machine.commit, start: func(ctx context.Context, dir, broker string) (product, error) {
		g, err := startGateway(ctx, b.binary, dir, broker, usual)
		if err != nil {
			return nil, err
		}
		return &localBroker{addr: g.mqtt, process: g.process, exited: g.exited}, nil
	}}, nil
}

// bridgeOf is for a mosquitto with a bridge to the broker that keeps a session
// there. lines are more of its configuration.
func bridgeOf(lines ...string) func(context.Context, *bench) (starter, error) {
	return func(ctx context.Context, b *bench) (starter, error) {
		path, err := findMosquitto()
		if err != nil {
			return starter{}, err
		}
		version, _ := exec.CommandContext(ctx, path, "-h").Output() // it exits with a status of its own
		return starter{version: firstLine(version), start: func(ctx context.Context, dir, broker string) (product, error) {
			data := filepath.Join(dir, "data")
			if err := os.MkdirAll(data, 0o700); err != nil {
				return nil, err
			}
			addr, err := freeAddr()
			if err != nil {
				return nil, err
			}
			_, port, err := net.SplitHostPort(broker)
			if err != nil {
				return nil, err
			}
			m, err := startMosquitto(ctx, dir, addr, append(append([]string{
				"persistence true", "persistence_location " + data + "/", "max_queued_messages 0",
			}, lines...),
				"connection bench", "address 127.0.0.1:"+port, "topic bench/# out 1", "remote_clientid bench-bridge",
				"cleansession false", "notifications false", "restart_timeout 1")...)
			if err != nil {
				return nil, err
			}
			return &localBroker{addr: m.addr, process: m.process, exited: m.exited}, nil
		}}, nil
	}
}
