//go:build !js

package prove

import (
	"context"
	"crypto/rand"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"github.com/mqttdb/mqttdb"
	"github.com/mqttdb/mqttdb/broker"
	"github.com/mqttdb/mqttdb/broker/dial"
	"github.com/mqttdb/mqttdb/config"
	"github.com/mqttdb/mqttdb/types"
)

const (
	writerWindow = 100 // how many publishes a client has open at once
	tickTime     = 100 * time.Millisecond
	onlineTime   = 30 * time.Second // for the gateway to reach the broker, which we reach
)

// run is the proof for one QoS.
type run struct {
	*proof
	qos   types.QoS
	runID runID
	dir   string
	topic string

	ledger     *ledger
	cutter     *cutter
	gateways   *gateways
	writer     *writer
	subscriber *subscriber
	control    *control
	faults     *faults

	gatewayID       string             // its client id at the broker
	listening       context.CancelFunc // ends the subscriber
	subscriberEnded chan error         // has what it ended with; nil before it runs
	subscriberGone  chan struct{}      // closed then
	books           *Books             // in the end
}

// newRun makes what a run consists of; leave takes it down again.
func newRun(p *proof, qos types.QoS) (*run, error) {
	name := fmt.Sprintf("qos%d", qos)
	r := &run{proof: p, qos: qos, dir: filepath.Join(p.dir, name), topic: p.Topic + "/" + p.id + "/" + name}
	rand.Read(r.runID[:]) // never fails
	if err := os.Mkdir(r.dir, 0o700); err != nil {
		return nil, fmt.Errorf("make a scratch store: %w", err)
	}
	proxy, err := proxyOf(&p.Connection)
	if err != nil {
		return nil, err
	}
	if r.cutter, err = newCutter(proxy); err != nil {
		return nil, err
	}
	if p.toBroker != nil {
		r.cutter.dial = p.toBroker
	}
	go r.cutter.serve()
	client := p.ClientID + "-" + p.id
	r.gatewayID = client + "g"
	atBroker := func(ctx context.Context, o broker.ConnectOptions, events func(broker.Event)) (broker.Link, broker.Session, error) {
		return mqttdb.Dial(ctx, p.Connection, o, mqttdb.Hooks{}, events)
	}
	r.ledger = newLedger(r.runID, r.topic, p.Messages)
	r.control = &control{dial: atBroker, clientID: client + "c", run: r.runID, topic: r.topic, qos: qos}
	r.subscriber = &subscriber{
		dial: atBroker, clientID: client + "s", filter: broker.Filter{Topic: r.topic, QoS: qos},
		remember: p.Connection.Protocol != config.MQTT31, delivered: r.delivered,
	}
	r.gateways = newGateways(p.Program, r.dir)
	atGateway := dialer(r.gateways.dial)
	if p.toGateway != nil {
		atGateway = p.toGateway(atGateway)
	}
	r.writer = &writer{dial: atGateway, clientID: "writer", ledger: r.ledger, qos: max(qos, 1), window: writerWindow, backlog: p.Backlog}
	r.faults = &faults{plan: plan(p.Kills, p.Cuts, p.Messages), ledger: r.ledger, gateways: r.gateways, cutter: r.cutter}
	return r, nil
}

// remove removes the store.
func (r *run) remove() error { return removeScratch(r.dir) }

// proxyOf is what the broker of c is reached through; nil: nothing.
func proxyOf(c *config.Connection) (*url.URL, error) {
	switch c.Proxy {
	case config.DirectProxy:
		return nil, nil
	case "":
		return dial.EnvironmentProxy(c.Broker)
	}
	return dial.ParseProxy(c.Proxy)
}

// delivered is told what the subscriber gets.
func (r *run) delivered(m *types.Message, again bool) {
	if k, number := r.ledger.delivered(m, again); k != numbered {
		r.control.delivered(k, number)
	}
}

// prepare finds out whether the broker does what a proof needs, and starts the
// gateway.
func (r *run) prepare(ctx context.Context) error {
	if err := r.subscriber.join(ctx); err != nil {
		return r.atBroker(err)
	}
	ctx, r.listening = context.WithCancel(ctx)
	r.subscriberEnded = make(chan error, 1)
	r.subscriberGone = make(chan struct{})
	go func() {
		defer close(r.subscriberGone)
		r.subscriberEnded <- r.subscriber.run(ctx)
	}()
	if err := r.control.try(ctx, r.subscriber, r.subscriberEnded); err != nil {
		return r.atBroker(err)
	}
	text := gatewayConfig(&r.Connection, r.gatewayID, r.cutter.url(), r.topic, r.qos)
	if err := os.WriteFile(r.gateways.options.Config, text, 0o600); err != nil {
		return fmt.Errorf("write the configuration of the gateway: %w", err)
	}
	if err := r.gateways.start(ctx); err != nil {
		return err
	}
	return r.online(ctx)
}

// atBroker adds to an error where it happened and what to do about it.
func (r *run) atBroker(err error) error {
	if hint := broker.Hint(err); hint != "" {
		return fmt.Errorf("%s: %w (%s)", r.Connection.Endpoint(), err, hint)
	}
	return fmt.Errorf("%s: %w", r.Connection.Endpoint(), err)
}

// online waits until the gateway has its link to the broker.
func (r *run) online(parent context.Context) error {
	ctx, cancel := context.WithTimeout(parent, onlineTime)
	defer cancel()
	tick := time.NewTicker(tickTime)
	defer tick.Stop()
	for {
		s, err := r.gateways.status(ctx)
		switch {
		case err == nil && s.State == types.Online:
			return nil
		case err == nil && s.LastError != "":
			return fmt.Errorf("the gateway does not reach %s: %s (%s); its log is %s", r.Connection.Endpoint(), s.LastError, s.Hint, r.gateways.options.Log)
		}
		select {
		case <-tick.C:
		case err := <-r.gateways.failed:
			return err
		case <-parent.Done():
			return context.Cause(parent)
		case <-ctx.Done():
			return fmt.Errorf("the gateway has no link to %s within %v; its log is %s", r.Connection.Endpoint(), onlineTime, r.gateways.options.Log)
		}
	}
}
