//go:build !js

package prove

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"sync"
	"sync/atomic"
	"time"

	"github.com/mqttdb/mqttdb/broker"
	"github.com/mqttdb/mqttdb/broker/dial"
)

// cutter is an HTTP proxy on a port of its own that the gateway reaches its broker
// through, and that cuts that link. Being such a proxy it leaves TLS, its check of
// names, and WebSockets between the gateway and the broker as they are.
type cutter struct {
	listener net.Listener
	dial     func(ctx context.Context, addr string) (broker.Conn, error)
	changed  pulse // a tunnel has begun
	open     sync.WaitGroup
	ctx      context.Context // ends with close
	cancel   context.CancelFunc

	mu      sync.Mutex
	tunnels map[*tunnel]bool
	closed  bool
}

// tunnel is one link of the gateway to its broker.
type tunnel struct {
	front net.Conn // the gateway
	back  broker.Conn
	deaf  atomic.Bool // what the broker says does not reach the gateway any more
}

// newCutter listens on a free port of 127.0.0.1. Brokers are reached through
// proxy; nil: directly.
func newCutter(proxy *url.URL) (*cutter, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("listen for the gateway's link: %w", err)
	}
	c := &cutter{listener: l, tunnels: make(map[*tunnel]bool)}
	c.ctx, c.cancel = context.WithCancel(context.Background())
	c.dial = func(ctx context.Context, addr string) (broker.Conn, error) {
		network, err := dial.Network(dial.Options{URL: "mqtt://" + addr, Proxy: proxy})
		if err != nil {
			return nil, err
		}
		return network(ctx)
	}
	return c, nil
}

// url is what the gateway has to have as its proxy.
func (c *cutter) url() string { return "http://" + c.listener.Addr().String() }

// serve accepts links until close.
func (c *cutter) serve() {
	for {
		conn, err := c.listener.Accept()
		if err != nil {
			return
		}
		c.open.Go(func() {
			defer conn.Close()
			c.answer(conn)
		})
	}
}

// answer opens a tunnel (RFC 9110, 9.3.6) and keeps it open.
func (c *cutter) answer(front net.Conn) {
	in := bufio.NewReader(front)
	ask, err := http.ReadRequest(in)
	if err != nil || ask.Method != http.MethodConnect {
		return
	}
	back, err := c.dial(c.ctx, ask.Host)
	if err != nil {
		fmt.Fprintf(front, "HTTP/1.1 502 %v\r\n\r\n", err)
		return
	}
	defer back.Close()
	t := &tunnel{front: front, back: back}
	if !c.enter(t) {
		return
	}
	defer c.exit(t)
	if _, err := io.WriteString(front, "HTTP/1.1 200 OK\r\n\r\n"); err != nil {
		return
	}
	c.changed.tell()
	c.open.Go(func() {
		defer front.Close()
		t.relay(front, back, true)
	})
	t.relay(back, in, false)
}

// relay passes on what comes from one side.
func (t *tunnel) relay(to io.Writer, from io.Reader, fromBroker bool) {
	buf := make([]byte, 32<<10)
	for {
		n, err := from.Read(buf)
		if n > 0 && !(fromBroker && t.deaf.Load()) {
			if _, err := to.Write(buf[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

func (c *cutter) enter(t *tunnel) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.closed {
		c.tunnels[t] = true
	}
	return !c.closed
}

func (c *cutter) exit(t *tunnel) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.tunnels, t)
}

// cut cuts the link of the gateway, and waits for one if there is none. For some
// milliseconds before it ends what the broker answers is lost already, as on a bad
// line, so that what is in flight then may or may not have reached the broker.
func (c *cutter) cut(ctx context.Context) error {
	for {
		changed := c.changed.next()
		if t := c.any(); t != nil {
			t.deaf.Store(true)
			select {
			case <-time.After(time.Duration(rand.IntN(20)) * time.Millisecond):
			case <-ctx.Done():
			}
			t.end()
			c.exit(t)
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

func (c *cutter) any() *tunnel {
	c.mu.Lock()
	defer c.mu.Unlock()
	for t := range c.tunnels {
		return t
	}
	return nil
}

// end ends the tunnel with a reset, and no word more.
func (t *tunnel) end() {
	if tcp, ok := t.front.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
	t.front.Close()
	t.back.Close()
}

// close ends all links and waits for their goroutines.
func (c *cutter) close() error {
	c.cancel()
	c.mu.Lock()
	c.closed = true
	for t := range c.tunnels {
		t.end()
	}
	c.mu.Unlock()
	err := c.listener.Close()
	c.open.Wait()
	if errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}
