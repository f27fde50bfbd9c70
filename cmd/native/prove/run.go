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

	probe     *subscriber // at the broker; outgoing it is the subscriber
	gatewayID string      // its client id at the broker
	listening *listening  // the one of them that runs; nil before
	sessions  []string    // clients that the broker may have one of
	books     *Books      // in the end
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
	r.probe = &subscriber{dial: atBroker, clientID: client + "s", filter: broker.Filter{Topic: r.topic, QoS: qos}, delivered: r.delivered}
	if p.Connection.Protocol != config.MQTT31 {
		r.probe.forgot = errForgot
	}
	r.gateways = newGateways(p.Program, r.dir)
	atGateway := dialer(r.gateways.dial)
	if p.toGateway != nil {
		atGateway = p.toGateway(atGateway)
	}
	r.writer = &writer{dial: atGateway, clientID: "writer", ledger: r.ledger, qos: max(qos, 1), window: writerWindow, backlog: p.Backlog}
	r.subscriber = r.probe
	if p.Incoming { // they change places
		r.writer.dial, r.writer.clientID, r.writer.window = atBroker, client+"w", p.Connection.Window
		if qos == 2 { // mosquitto 2.0 loses what is beyond its max_inflight_messages, though it answers
			r.writer.window = min(p.Connection.Window, p.Connection.QoS2Window)
		}
		r.subscriber = &subscriber{dial: atGateway, clientID: "subscriber", filter: r.probe.filter, forgot: errGatewayForgot, delivered: r.delivered}
	}
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
	// What the gateway delivers again is its own repetition.
	if k, number := r.ledger.delivered(m, again && !r.Incoming); k != numbered {
		r.control.delivered(k, number, m.QoS)
	}
}

// prepare finds out whether the broker does what a proof needs, and starts the
// gateway.
func (r *run) prepare(ctx context.Context) error {
	r.sessions = []string{r.probe.clientID}
	if err := r.probe.join(ctx); err != nil {
		return r.atBroker(err)
	}
	r.listening = listen(ctx, r.probe)
	if err := r.control.try(ctx, r.listening); err != nil {
		return r.atBroker(err)
	}
	if err := r.startGateway(ctx); err != nil {
		r.failed = r.failed || ctx.Err() == nil // its log is worth a look
		return err
	}
	if r.Incoming {
		return r.turn(ctx)
	}
	return nil
}

// startGateway starts the first gateway, and waits for its link.
func (r *run) startGateway(ctx context.Context) error {
	text := gatewayConfig(&r.Connection, r.gatewayID, r.cutter.url(), r.topic, r.qos, r.Incoming)
	if err := os.WriteFile(r.gateways.options.Config, text, 0o600); err != nil {
		return fmt.Errorf("write the configuration of the gateway: %w", err)
	}
	r.sessions = append(r.sessions, r.gatewayID)
	if err := r.gateways.start(ctx); err != nil {
		return err
	}
	return r.online(ctx)
}

// turn has the local subscriber take the place of the one at the broker, and
// returns when messages of the broker come to it.
func (r *run) turn(ctx context.Context) error {
	r.sessions = append(r.sessions, r.writer.clientID)
	r.listening.stop()
	r.listening = nil
	if err := r.control.end(ctx, r.probe.clientID); err != nil { // or the broker would queue all for it
		return r.atBroker(err)
	}
	if err := r.subscriber.join(ctx); err != nil {
		return fmt.Errorf("subscribe at the gateway: %w", err)
	}
	r.listening = listen(ctx, r.subscriber)
	if err := r.control.through(ctx, r.listening); err != nil {
		r.failed = r.failed || ctx.Err() == nil
		return r.atBroker(err)
	}
	return nil
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
