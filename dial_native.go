//go:build !js

package mqttdb

import (
	"context"

	"github.com/mqttdb/mqttdb/broker"
	"github.com/mqttdb/mqttdb/config"
)

// Dial opens a bare link to the broker of a connection, the first one if it has a
// list, with the TLS settings, the proxy and the credentials that it is configured
// with. It is for programs that look at a broker beside a DB, to test it or to
// listen there: nothing is stored and nothing is sent again. Of o the user, the
// password, the protocol and the bridge flag are those of c, and so is the
// keepalive if it is 0. events is told what happens, as broker.Dialer says.
//
// A hint in the error (broker.Hint) says what to do.
func Dial(ctx context.Context, c ConnectionConfig, o broker.ConnectOptions, hooks Hooks, events func(broker.Event)) (broker.Link, broker.Session, error) {
	all := config.Config{Connections: []ConnectionConfig{c}}
	if err := all.SetDefaultsAndValidate(); err != nil {
		return nil, broker.Session{}, err
	}
	return open(ctx, all.Connections[0], o, hooks, events)
}

// open is Dial for a connection whose defaults are set.
func open(ctx context.Context, c ConnectionConfig, o broker.ConnectOptions, hooks Hooks, events func(broker.Event)) (broker.Link, broker.Session, error) {
	d, err := dialer(Config{Hooks: hooks}, c)
	if err != nil {
		return nil, broker.Session{}, err
	}
	if o.Username, o.Password, err = login(ctx, c); err != nil {
		return nil, broker.Session{}, err
	}
	if o.KeepAlive == 0 {
		o.KeepAlive = c.KeepAlive
	}
	o.Protocol, o.Bridge = broker.Protocol(c.Protocol.Level()), c.Bridge
	return d.Dial(ctx, o, events)
}
