//go:build !js

package prove

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"sync"

	"github.com/mqttdb/mqttdb/broker"
	"github.com/mqttdb/mqttdb/broker/dial"
	"github.com/mqttdb/mqttdb/broker/mqtt"
	"github.com/mqttdb/mqttdb/cmd/native/child"
	"github.com/mqttdb/mqttdb/types"
)

// gateways are the gateways that run one after the other on one store. It may be
// used concurrently, but for start, kill and stop.
type gateways struct {
	options child.Options
	changed pulse      // another one serves
	failed  chan error // has something once one ended by itself

	mu      sync.Mutex
	current *child.Gateway // nil while none serves
}

func newGateways(program, dir string) *gateways {
	return &gateways{
		options: child.Options{Program: program, Config: filepath.Join(dir, "mqttdb.yaml"), Log: filepath.Join(dir, "gateway.log")},
		failed:  make(chan error, 1),
	}
}

// start starts the next one and returns when it serves.
func (g *gateways) start(ctx context.Context) error {
	next, err := child.Start(ctx, g.options)
	if err != nil {
		return err
	}
	g.mu.Lock()
	g.current = next
	g.mu.Unlock()
	g.changed.tell()
	go func() {
		<-next.Exited()
		if g.drop(next) {
			g.failed <- fmt.Errorf("the gateway ended by itself: %w", next.Err())
		}
	}()
	return nil
}

// drop forgets a gateway and says whether it was the current one.
func (g *gateways) drop(which *child.Gateway) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.current != which || which == nil {
		return false
	}
	g.current = nil
	return true
}

func (g *gateways) serving() *child.Gateway {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.current
}

// kill ends it at once, with everything that it has in memory.
func (g *gateways) kill() {
	if now := g.serving(); g.drop(now) {
		now.Kill()
	}
}

// stop ends it in good order.
func (g *gateways) stop() error {
	if now := g.serving(); g.drop(now) {
		return now.Stop()
	}
	return nil
}

var errNoGateway = errors.New("no gateway runs")

// status asks the one that runs.
func (g *gateways) status(ctx context.Context) (types.Status, error) {
	now := g.serving()
	if now == nil {
		return types.Status{}, errNoGateway
	}
	return now.Status(ctx)
}

// trouble is what the one that runs says about its stores, "" if they are well.
func (g *gateways) trouble(ctx context.Context) string {
	now := g.serving()
	if now == nil {
		return ""
	}
	all, _ := now.Statuses(ctx) // none, if it does not answer
	for _, s := range all {
		if s.Outgoing.Trouble != "" {
			return s.Outgoing.Trouble
		}
	}
	return ""
}

// dial is a dialer to the one that serves; it waits until there is one.
func (g *gateways) dial(ctx context.Context, o broker.ConnectOptions, events func(broker.Event)) (broker.Link, broker.Session, error) {
	for {
		changed := g.changed.next()
		if now := g.serving(); now != nil {
			network, err := dial.Network(dial.Options{URL: "mqtt://" + now.MQTT})
			if err != nil {
				return nil, broker.Session{}, err
			}
			o.Protocol = broker.MQTT311
			return (&mqtt.Dialer{Network: network}).Dial(ctx, o, events)
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, broker.Session{}, context.Cause(ctx)
		}
	}
}
