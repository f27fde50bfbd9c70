//go:build !js

package dial

import (
	"context"
	"crypto/tls"
	"net"
	"time"
)

// farewell is how long a TLS connection may take to say goodbye.
const farewell = 500 * time.Millisecond

// secure makes a TLS connection.
func (o Options) secure(ctx context.Context, t target) (net.Conn, error) {
	raw, err := o.raw(ctx, t)
	if err != nil {
		return nil, err
	}
	config := &tls.Config{}
	if o.TLS != nil {
		config = o.TLS.Clone()
	}
	if config.ServerName == "" {
		config.ServerName = t.host
	}
	if config.MinVersion == 0 {
		config.MinVersion = tls.VersionTLS12
	}
	conn := tls.Client(raw, config)
	if err := conn.HandshakeContext(ctx); err != nil {
		raw.Close()
		return nil, &handshakeError{err}
	}
	return secured{conn, raw}, nil
}

// secured is a TLS connection that does not wait long for a peer that does not
// read when it is closed.
type secured struct {
	*tls.Conn
	raw net.Conn
}

func (s secured) Close() error {
	t := time.AfterFunc(farewell, func() { s.raw.Close() })
	defer t.Stop()
	return s.Conn.Close()
}

// handshakeError marks what went wrong in a TLS handshake.
type handshakeError struct{ err error }

func (e *handshakeError) Error() string { return e.err.Error() }
func (e *handshakeError) Unwrap() error { return e.err }
