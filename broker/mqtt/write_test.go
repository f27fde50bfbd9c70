package mqtt

import (
	"context"
	"net"
	"strings"
	"sync"
	"testing"

	"github.com/mqttdb/mqttdb/broker"
	"github.com/mqttdb/mqttdb/types"
)

// parting is a Conn that takes so many bytes of the first PUBLISHes, whereupon the
// other end hangs up; Write returns when the link has noticed.
type parting struct {
	net.Conn
	far    net.Conn
	take   int
	once   sync.Once
	closed chan struct{}
}

func (c *parting) Write(b []byte) (int, error) {
	if b[0]&0xf0 != 0x30 {
		return c.Conn.Write(b)
	}
	n, err := c.Conn.Write(b[:min(c.take, len(b))])
	if err != nil {
		return n, err
	}
	c.far.Close()
	<-c.closed
	if n < len(b) {
		return n, net.ErrClosed
	}
	return n, nil
}

func (c *parting) Close() error {
	c.once.Do(func() { close(c.closed) })
	return c.Conn.Close()
}

// What was taken of QoS 0 when the link ends is told before its end, and no more: the
// broker may have got it, and it must not be sent again (Guarantee 6).
func TestWrittenIsToldBeforeDown(t *testing.T) {
	const first, second, third = "\x30\x03\x00\x01a", "\x32\x05\x00\x01b\x00\x01", "\x30\x03\x00\x01c"
	tests := []struct {
		name string
		take int // bytes
		want string
	}{
		{"all", len(first + second + third), "written 3; down"},
		{"all but a byte", len(first+second+third) - 1, "written 1; down"},
		{"the first", len(first), "written 1; down"},
		{"a byte", 1, "down"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			near, far := net.Pipe()
			t.Cleanup(func() { far.Close() })
			p := &peer{t: t, conn: far, changed: make(chan struct{}), answered: make(chan struct{})}
			d := &Dialer{Network: func(context.Context) (broker.Conn, error) {
				return &parting{Conn: near, far: far, take: test.take, closed: make(chan struct{})}, nil
			}}
			go p.serve(connackAccepted)
			link, _, err := d.Dial(t.Context(), options(), p.event)
			if err != nil {
				t.Fatal(err)
			}
			err = link.Publish([]broker.Publish{
				{Tag: 1, Message: types.Message{Topic: "a"}},
				{Tag: 2, ID: 1, Message: types.Message{Topic: "b", QoS: 1}},
				{Tag: 3, Message: types.Message{Topic: "c"}},
			})
			if err != nil {
				t.Fatal(err)
			}
			p.down()
			var told []string
			for _, e := range p.events {
				what, _, _ := strings.Cut(show(e), ":")
				told = append(told, what)
			}
			if got := strings.Join(told, "; "); got != test.want {
				t.Errorf("told %s, want %s", got, test.want)
			}
		})
	}
}
