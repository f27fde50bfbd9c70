package listener

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"syscall"
	"time"
)

// Endpoint is an address at which clients are served.
type Endpoint struct {
	Addr      string    // host:port; port 0 takes any
	WebSocket bool      // MQTT over WebSocket instead of over TCP
	TLS       *TLSFiles // nil: without TLS

	// AllowAnonymous lets clients without a username do everything. A loopback
	// address does so in any case.
	AllowAnonymous bool

	// AllowedOrigins are the foreign origins ("https://panel.example.com") whose
	// pages may connect by WebSocket.
	AllowedOrigins []string

	// Setting is what the address is called in the configuration, for hints;
	// "mqtt.listen" if it is empty.
	Setting string

	foreign bool // as if it was no loopback address; for tests
}

// endpoint is an Endpoint that is open.
type endpoint struct {
	Endpoint
	listener net.Listener
	tls      *tls.Config // nil: without TLS
}

// anonymous says whether clients without a username are let in.
func (e *endpoint) anonymous() bool {
	return e.AllowAnonymous || !e.foreign && loopback(e.listener.Addr())
}

// loopback says whether only this machine reaches an address. What counts is
// what it has become, whatever name it had in the configuration.
func loopback(a net.Addr) bool {
	at, ok := a.(*net.TCPAddr)
	return ok && at.IP.IsLoopback()
}

// open begins to listen.
func (e Endpoint) open(ctx context.Context, log *slog.Logger) (*endpoint, error) {
	if e.Setting == "" {
		e.Setting = "mqtt.listen"
	}
	o := &endpoint{Endpoint: e}
	if e.TLS != nil {
		c, err := readCertificates(*e.TLS, log)
		if err != nil {
			return nil, fmt.Errorf("listen for MQTT clients on %s: %w", e.Addr, err)
		}
		o.tls = c.serve()
	}
	var how net.ListenConfig
	l, err := how.Listen(ctx, "tcp", e.Addr)
	if err != nil {
		return nil, fmt.Errorf("listen for MQTT clients on %s: %w%s", e.Addr, err, listenHint(err, e.Setting))
	}
	o.listener = l
	return o, nil
}

// listenHint says what an operator can do.
func listenHint(err error, setting string) string {
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return " (another program has this port: stop it, or set " + setting + " to another port)"
	case errors.Is(err, syscall.EACCES):
		return " (ports below 1024 need privileges: set " + setting + " to another port)"
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return " (this machine does not have that address: set " + setting + " to one that it has)"
	}
	return ""
}

// wrap makes of a connection the stream that MQTT is spoken on.
func (e *endpoint) wrap(conn net.Conn, deadline time.Time) (net.Conn, error) {
	conn.SetDeadline(deadline)
	if e.tls != nil {
		secure := tls.Server(conn, e.tls)
		if err := shake(secure); err != nil {
			return nil, err
		}
		conn = secure
	}
	if e.WebSocket {
		ws, err := upgrade(conn, &e.Endpoint)
		if err != nil {
			return nil, err
		}
		conn = ws
		conn.SetDeadline(deadline)
	}
	return conn, nil
}
