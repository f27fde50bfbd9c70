//go:build js

package mqttdb

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/mqttdb/mqttdb/broker"
	"github.com/mqttdb/mqttdb/broker/mqtt"
	"github.com/mqttdb/mqttdb/config"
	"github.com/mqttdb/mqttdb/persistence/journal"
	"github.com/mqttdb/mqttdb/persistence/memory"
	"github.com/mqttdb/mqttdb/runtime"
	"github.com/mqttdb/mqttdb/wasm/indexeddb"
	"github.com/mqttdb/mqttdb/wasm/websocket"
)

// Hooks are empty in the browser.
type Hooks struct{}

// options chooses the technologies of a browser.
func options(c Config, cfg config.Config, p *policies) (runtime.Options, error) {
	volatile := memory.New(memory.Options{Journal: journal.Options{Logger: c.Logger}})
	durable := c.Store
	if durable == nil {
		durable = memory.New(memory.Options{Journal: journal.Options{Logger: c.Logger}})
		if persists(cfg) {
			store := indexeddb.Open(indexeddb.Options{Logger: c.Logger, Lazy: p.lazy})
			if err := store.Usable(); err != nil {
				return runtime.Options{}, err
			}
			durable = store
		}
	}
	return runtime.Options{
		Config:     cfg,
		Durable:    durable,
		Volatile:   volatile,
		Dialer:     func(conn config.Connection) (broker.Dialer, error) { return dialer(c, conn) },
		Login:      login,
		Local:      c.Local,
		Paused:     c.Paused,
		Buffered:   c.Buffered,
		System:     c.System,
		Latencies:  c.Latencies,
		SystemName: c.SystemName,
		Logger:     c.Logger,
	}, nil
}

// persists says whether anything is to outlive the Worker.
func persists(cfg config.Config) bool {
	return slices.ContainsFunc(cfg.Connections, func(c config.Connection) bool {
		return c.Persist.Outgoing == config.On || c.Persist.Incoming == config.On
	})
}

// dialer makes what opens links to the broker of conn.
func dialer(c Config, conn config.Connection) (broker.Dialer, error) {
	u, err := config.ParseBroker(conn.Broker)
	if err != nil {
		return nil, err
	}
	switch tls := conn.TLS; {
	case u.Scheme != "ws" && u.Scheme != "wss":
		return nil, fmt.Errorf("a browser reaches brokers by ws:// and wss:// only, not by %s://: give the broker a WebSocket listener", u.Scheme)
	case tls.CAFile != "" || tls.CertFile != "" || tls.ServerName != "" || len(tls.ALPN) > 0 || tls.InsecureSkipVerify:
		return nil, errors.New("tls: what a certificate must be like is the browser's to decide: remove it")
	case conn.Proxy != "":
		return nil, errors.New("proxy: which proxy there is, is the browser's to decide: remove it")
	}
	return &mqtt.Dialer{Network: websocket.Network(websocket.Options{URL: conn.Broker}), Logger: c.Logger}, nil
}

// login returns the username and the password of a connection.
func login(ctx context.Context, c config.Connection) (string, []byte, error) {
	switch {
	case c.Credentials != nil:
		username, password, err := c.Credentials(ctx)
		if err != nil {
			return "", nil, fmt.Errorf("credentials of %s: %w", c.Name, err)
		}
		if password == "" {
			return username, nil, nil
		}
		return username, []byte(password.Reveal()), nil
	case c.PasswordFile != "":
		return "", nil, errors.New("password_file: there are no files in a browser: set the password")
	case c.Password != "":
		return c.Username, []byte(c.Password.Reveal()), nil
	}
	return c.Username, nil, nil
}
