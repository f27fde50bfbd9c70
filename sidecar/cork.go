package sidecar

import (
	"bufio"
	"net"
	"sync"
)

// corked is a connection that gathers what is written until it is flushed, once it is
// corked. A WebSocket writes each message by itself, which is a system call for each.
type corked struct {
	net.Conn

	mu     sync.Mutex
	buffer *bufio.Writer // nil: not corked yet
}

// corkSize is how much is gathered at most, in bytes.
const corkSize = 64 << 10

// corkListener corks what it accepts.
type corkListener struct{ net.Listener }

// Accept implements net.Listener.
func (l corkListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &corked{Conn: c}, nil
}

// cork begins to gather.
func (c *corked) cork() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.buffer = bufio.NewWriterSize(c.Conn, corkSize)
}

// Write implements net.Conn.
func (c *corked) Write(b []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.buffer == nil {
		return c.Conn.Write(b)
	}
	return c.buffer.Write(b)
}

// Flush writes what was gathered.
func (c *corked) Flush() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.buffer == nil {
		return nil
	}
	return c.buffer.Flush()
}
