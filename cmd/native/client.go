//go:build !js

package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/mqttdb/mqttdb/broker"
	"github.com/mqttdb/mqttdb/broker/dial"
	"github.com/mqttdb/mqttdb/broker/mqtt"
	"github.com/mqttdb/mqttdb/types"
)

// client is a simple MQTT client of the local broker, for pub and sub.
type client struct {
	link   broker.Link
	events chan broker.Event
}

// newClient connects to addr, host:port.
func newClient(ctx context.Context, addr string) (*client, error) {
	network, err := dial.Network(dial.Options{URL: "mqtt://" + addr})
	if err != nil {
		return nil, err
	}
	c := &client{events: make(chan broker.Event, 16)}
	gone := make(chan struct{})
	tell := func(e broker.Event) {
		select {
		case c.events <- e:
		case <-gone:
		}
	}
	context.AfterFunc(ctx, func() { close(gone) })
	c.link, _, err = (&mqtt.Dialer{Network: network}).Dial(ctx, broker.ConnectOptions{
		ClientID: fmt.Sprintf("mqttdb-cli-%x", time.Now().UnixNano()), CleanSession: true,
		KeepAlive: 30 * time.Second, Protocol: broker.MQTT311, MaxPacket: 8 << 20,
	}, tell)
	if err != nil {
		return nil, fmt.Errorf("connect to the local broker at %s: %w; is the gateway running (mqttdb serve)?", addr, err)
	}
	return c, nil
}

// next waits for the next event that is not about something written.
func (c *client) next(ctx context.Context) (broker.Event, error) {
	for {
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case e := <-c.events:
			switch e := e.(type) {
			case broker.Written:
			case broker.Down:
				return nil, errors.New("the gateway ended the connection: mqttdb status and the log of the gateway say why")
			default:
				return e, nil
			}
		}
	}
}

// publish sends m and, at QoS 1 and 2, waits for the acknowledgement, which
// means that it is stored.
func (c *client) publish(ctx context.Context, m types.Message) error {
	const id = 1
	p := broker.Publish{ID: id, Message: m, Tag: 1}
	if m.QoS == 0 {
		p.ID = 0
	}
	if err := c.link.Publish([]broker.Publish{p}); err != nil {
		return err
	}
	for m.QoS > 0 {
		e, err := c.next(ctx)
		if err != nil {
			return err
		}
		acked, ok := e.(broker.Acked)
		if !ok || len(acked.Acks) == 0 {
			continue
		}
		if acked.Acks[0].Kind != broker.PubRec {
			break
		}
		if err := c.link.Release([]uint16{id}); err != nil {
			return err
		}
	}
	return nil
}

// close ends the connection once everything was written.
func (c *client) close(ctx context.Context) {
	c.link.Close(true)
	for {
		if _, err := c.next(ctx); err != nil {
			return
		}
	}
}

// subscribe asks for filters and waits for the answer.
func (c *client) subscribe(ctx context.Context, filters []broker.Filter) error {
	if err := c.link.Subscribe(1, filters); err != nil {
		return err
	}
	for {
		e, err := c.next(ctx)
		if err != nil {
			return err
		}
		if s, ok := e.(broker.Subscribed); ok {
			for i, code := range s.Codes {
				if code > 2 && i < len(filters) {
					return fmt.Errorf("the gateway refuses the filter %q", filters[i].Topic)
				}
			}
			return nil
		}
	}
}
