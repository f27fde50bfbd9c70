//go:build js

package websocket

import (
	"context"
	"errors"
	"fmt"
	"syscall/js"
	"time"

	"github.com/mqttdb/mqttdb/broker"
)

const (
	subprotocol    = "mqtt" // [MQTT-6.0.0-3]
	defaultTimeout = 10 * time.Second
)

// Options say where a broker is.
type Options struct {
	// URL is ws://host[:port][/path] or wss://…, as WebSockets take it.
	URL string

	// Timeout is how long the connection may take to come about; 0 means 10 s.
	Timeout time.Duration
}

// Network makes a Network of the options. What it returns as an error says what to do
// where that is known (broker.Hint).
func Network(o Options) broker.Network {
	if o.Timeout <= 0 {
		o.Timeout = defaultTimeout
	}
	return func(ctx context.Context) (broker.Conn, error) {
		limited, cancel := context.WithTimeoutCause(ctx, o.Timeout, fmt.Errorf("no connection for %v", o.Timeout))
		defer cancel()
		c, err := dial(limited, o.URL)
		if err != nil {
			return nil, fmt.Errorf("connect to the broker: %w", err)
		}
		return c, nil
	}
}

// dial opens a WebSocket and waits until it is open.
func dial(ctx context.Context, url string) (*conn, error) {
	socket, err := open(url)
	if err != nil {
		return nil, err
	}
	c := newConn(socket)
	select {
	case <-c.opened:
	case <-c.ended:
		err := c.reason()
		c.Close()
		return nil, &broker.HintedError{
			Err: fmt.Errorf("no WebSocket: %w", err),
			Advice: "the browser does not say why: check that the broker runs and has a WebSocket listener at that address and path, " +
				"that the browser trusts its certificate (open the address with https: in a tab), and that the Content-Security-Policy of the page allows it in connect-src",
		}
	case <-ctx.Done():
		c.Close()
		return nil, &broker.HintedError{Err: context.Cause(ctx), Advice: "check the network, and that the address is that of the broker's WebSocket listener"}
	}
	if chosen := socket.Get("protocol").String(); chosen != "" && chosen != subprotocol {
		c.Close()
		return nil, fmt.Errorf("the server chose the WebSocket subprotocol %q instead of %q", chosen, subprotocol)
	}
	return c, nil
}

// open makes the WebSocket, which the browser may refuse to do.
func open(url string) (socket js.Value, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = refused(r)
		}
	}()
	constructor := js.Global().Get("WebSocket")
	if constructor.IsUndefined() {
		return js.Value{}, errors.New("there is no WebSocket here")
	}
	socket = constructor.New(url, []any{subprotocol})
	socket.Set("binaryType", "arraybuffer")
	return socket, nil
}

// refused is what the browser said when it was asked for a WebSocket.
func refused(panicked any) error {
	thrown, ok := panicked.(js.Error)
	if !ok {
		panic(panicked)
	}
	err := fmt.Errorf("the browser opens no WebSocket: %w", thrown)
	if name := thrown.Get("name"); name.Type() == js.TypeString && name.String() == "SecurityError" {
		return &broker.HintedError{Err: err, Advice: "a page that came by https may only use wss:// (but for localhost): give the broker a certificate, and write wss://"}
	}
	return &broker.HintedError{Err: err, Advice: "check the address: ws://host:port/path or wss://host:port/path"}
}
