//go:build js

package websocket

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"syscall/js"
	"time"

	"github.com/mqttdb/mqttdb/broker"
)

const (
	// maxUnread is how many bytes may wait to be read. A WebSocket cannot be told to
	// wait: what the broker sends at QoS 1 and 2 is bounded by what it lets be in
	// flight, and a flood at QoS 0 ends the connection.
	maxUnread = 32 << 20

	// maxUnsent is how many bytes may wait in the WebSocket before Write waits, too.
	maxUnsent = 256 << 10

	// look is how often a Write that waits looks: no event tells that there is room.
	look = 5 * time.Millisecond

	// normalClosure is the one code besides 3000–4999 that a page may close with.
	normalClosure = 1000
)

var (
	errText   = errors.New("the broker sent a WebSocket message that is not binary [MQTT-6.0.0-1]")
	errUnread = fmt.Errorf("the broker sends faster than it can be read: %d MiB wait", maxUnread>>20)
)

// conn is a broker.Conn on a WebSocket. The callbacks of the WebSocket never wait.
type conn struct {
	socket js.Value
	funcs  []js.Func
	opened chan struct{} // closed when it is open
	ended  chan struct{} // closed when it is over; what has arrived can still be read

	mu       sync.Mutex
	over     bool
	why      error
	released bool
	unread   [][]byte
	bytes    int           // of unread
	arrived  chan struct{} // holds one while there may be something new to read
	read     deadline
	write    deadline
}

var _ broker.Conn = (*conn)(nil)

func newConn(socket js.Value) *conn {
	c := &conn{socket: socket, opened: make(chan struct{}), ended: make(chan struct{}), arrived: make(chan struct{}, 1)}
	c.read.changed, c.write.changed = make(chan struct{}), make(chan struct{})
	c.on("open", func(js.Value) { close(c.opened) })
	c.on("message", c.message)
	c.on("close", c.closed)
	return c
}

// on calls f for an event. A panic in it would end the whole program, so it ends the
// connection instead.
func (c *conn) on(event string, f func(js.Value)) {
	callback := js.FuncOf(func(_ js.Value, args []js.Value) any {
		defer func() {
			if r := recover(); r != nil {
				c.end(fmt.Errorf("a bug: %v", r))
			}
		}()
		f(args[0])
		return nil
	})
	c.funcs = append(c.funcs, callback)
	c.socket.Set("on"+event, callback)
}

// message takes what has arrived.
func (c *conn) message(event js.Value) {
	data := event.Get("data")
	if data.Type() == js.TypeString {
		c.end(errText)
		return
	}
	array := js.Global().Get("Uint8Array").New(data)
	b := make([]byte, array.Length())
	js.CopyBytesToGo(b, array)
	c.mu.Lock()
	c.unread = append(c.unread, b)
	c.bytes += len(b)
	flooded := c.bytes > maxUnread
	c.mu.Unlock()
	if flooded {
		c.end(errUnread)
	}
	select {
	case c.arrived <- struct{}{}:
	default:
	}
}

// closed takes note that the WebSocket is over, by the broker or by the network.
func (c *conn) closed(event js.Value) {
	code, text := event.Get("code").Int(), event.Get("reason").String()
	select {
	case <-c.opened:
		c.end(io.EOF)
	default:
		c.end(fmt.Errorf("closed with code %d %s", code, text))
	}
}

// end lets nothing more in or out, the first time.
func (c *conn) end(why error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.over {
		c.over, c.why = true, why
		close(c.ended)
	}
}

// reason is why it is over.
func (c *conn) reason() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.why
}

// Read implements broker.Conn. What has arrived before the end is read first, but for a
// Close of our own.
func (c *conn) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	for {
		if n, err := c.take(p); n > 0 || err != nil {
			return n, err
		}
		over, changed, stop := c.read.wait()
		select {
		case <-c.arrived:
		case <-c.ended:
		case <-changed:
		case <-over:
			stop()
			return 0, os.ErrDeadlineExceeded
		}
		stop()
	}
}

// take reads what is there; nothing and no error if one has to wait.
func (c *conn) take(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if errors.Is(c.why, net.ErrClosed) || errors.Is(c.why, errUnread) {
		return 0, c.why
	}
	for len(c.unread) > 0 && len(c.unread[0]) == 0 {
		c.unread = c.unread[1:]
	}
	if len(c.unread) == 0 {
		c.unread = nil
		return 0, c.why
	}
	n := copy(p, c.unread[0])
	if c.unread[0], c.bytes = c.unread[0][n:], c.bytes-n; len(c.unread[0]) == 0 {
		c.unread[0] = nil
		c.unread = c.unread[1:]
	}
	return n, nil
}

// Write implements broker.Conn. It returns when the WebSocket has taken p, which it
// does while no more than 256 KiB wait in it.
func (c *conn) Write(p []byte) (int, error) {
	for {
		if err := c.reason(); err != nil {
			return 0, err
		}
		if c.socket.Get("bufferedAmount").Int() < maxUnsent {
			break
		}
		if err := c.pause(); err != nil {
			return 0, err
		}
	}
	if err := c.send(p); err != nil {
		return 0, err
	}
	return len(p), nil
}

// pause waits a moment for the WebSocket to send.
func (c *conn) pause() error {
	timer := time.NewTimer(look)
	defer timer.Stop()
	over, changed, stop := c.write.wait()
	defer stop()
	select {
	case <-timer.C:
	case <-changed:
	case <-c.ended:
	case <-over:
		return os.ErrDeadlineExceeded
	}
	return nil
}

// send hands p to the WebSocket, which copies it.
func (c *conn) send(p []byte) (err error) {
	defer func() {
		if r := recover(); r != nil {
			thrown, ok := r.(js.Error)
			if !ok {
				panic(r)
			}
			err = thrown
		}
	}()
	array := js.Global().Get("Uint8Array").New(len(p))
	js.CopyBytesToJS(array, p)
	c.socket.Call("send", array)
	return nil
}

// Close implements broker.Conn. It does not wait for the closing handshake: a broker
// that is gone would never answer.
func (c *conn) Close() error {
	c.end(net.ErrClosed)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.why = net.ErrClosed
	if c.released {
		return nil
	}
	c.released = true
	for _, event := range []string{"open", "message", "close"} {
		c.socket.Set("on"+event, js.Null())
	}
	for _, f := range c.funcs {
		f.Release()
	}
	c.socket.Call("close", normalClosure)
	return nil
}

// SetReadDeadline implements broker.Conn.
func (c *conn) SetReadDeadline(t time.Time) error { c.read.set(t); return nil }

// SetWriteDeadline implements broker.Conn.
func (c *conn) SetWriteDeadline(t time.Time) error { c.write.set(t); return nil }
