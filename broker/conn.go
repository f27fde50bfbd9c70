package broker

import (
	"context"
	"time"
)

// Conn is a stream of bytes to a broker: TCP, TLS or a WebSocket. Read and
// Write may be called concurrently with each other and with Close, which makes
// both return.
type Conn interface {
	Read(p []byte) (int, error)
	Write(p []byte) (int, error)
	SetReadDeadline(t time.Time) error
	SetWriteDeadline(t time.Time) error
	Close() error
}

// Network makes a Conn. Which broker and how is its own business: it may try
// several addresses, read certificates again, go through a proxy.
type Network func(ctx context.Context) (Conn, error)

// Prober is a Dialer that can find out whether its broker can be reached without
// opening a link, which could take the place of the one that there is.
type Prober interface {
	// Probe returns nil if a Network to the broker comes about.
	Probe(ctx context.Context) error
}
