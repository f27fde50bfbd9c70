//go:build linux

package main

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"github.com/mqttdb/mqttdb/bench/protocol"
)

// client is an MQTT 3.1.1 client on the bare socket, which publishes at QoS 1.
type client struct {
	conn net.Conn
	in   *bufio.Reader
}

// connect opens a session that ends with its connection.
func connect(addr, id string) (*client, error) { return connectAs(addr, id, true) }

func connectAs(addr, id string, clean bool) (*client, error) {
	return handshake(addr, id, clean, [4]byte{0x20, 2, 0, 0})
}

// resume connects to a session that the broker has.
func resume(addr, id string) (*client, error) {
	return handshake(addr, id, false, [4]byte{0x20, 2, 1, 0})
}

// handshake connects and expects a CONNACK.
func handshake(addr, id string, clean bool, expected [4]byte) (*client, error) {
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		return nil, err
	}
	c := &client{conn: conn, in: bufio.NewReaderSize(conn, 16<<10)}
	packet := []byte{0x10, byte(12 + len(id)), 0, 4, 'M', 'Q', 'T', 'T', 4, 0, 0, 0, 0, byte(len(id))}
	if clean {
		packet[9] = 2
	}
	if _, err := conn.Write(append(packet, id...)); err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	var answer [4]byte
	if _, err := io.ReadFull(c.in, answer[:]); err != nil || answer != expected {
		return nil, errors.Join(fmt.Errorf("CONNACK of %s: %x, %w", addr, answer, err), conn.Close())
	}
	return c, nil
}

// subscribe asks for a topic at QoS 0.
func (c *client) subscribe(topic string) error { return c.subscribeAt(topic, 0) }

func (c *client) subscribeAt(filter string, qos byte) error {
	packet := []byte{0x82, byte(5 + len(filter)), 0, 1, 0, byte(len(filter))}
	if _, err := c.conn.Write(append(append(packet, filter...), qos)); err != nil {
		return err
	}
	var answer [5]byte
	if _, err := io.ReadFull(c.in, answer[:]); err != nil || answer != [5]byte{0x90, 3, 0, 1, qos} {
		return fmt.Errorf("SUBACK: %x, %w", answer, err)
	}
	return nil
}

// awaitPublish waits for the first message.
func (c *client) awaitPublish() error {
	first, err := c.in.ReadByte()
	if err == nil && first>>4 != 3 {
		return fmt.Errorf("packet %x instead of a PUBLISH", first)
	}
	return err
}

// publish keeps window messages on the way as long as more says that another
// one may be sent, and returns how many were acknowledged: all. It writes what
// the window has room for in one piece, and reads all that has arrived.
func (c *client) publish(topic string, window int, more func() bool) (int, error) {
	return c.run(&publisher{topic: topic, window: window, more: more})
}

// publishOne publishes the next message of an order of producer 0.
func (c *client) publishOne(o *ordered) (int, error) {
	return c.run(&publisher{topic: protocol.Topic(0), window: 1, more: upTo(1), order: o})
}

func (c *client) run(p *publisher) (int, error) {
	for {
		p.buf = p.refill(p.buf[:0])
		if len(p.buf) > 0 {
			if _, err := c.conn.Write(p.buf); err != nil {
				return p.acked, err
			}
		}
		if p.done() {
			return p.acked, nil
		}
		for first := true; first || c.in.Buffered() >= pubackSize; first = false {
			b, err := c.in.Peek(pubackSize)
			if err == nil {
				err = p.take(b)
			}
			if err != nil {
				return p.acked, err
			}
			if _, err := c.in.Discard(pubackSize); err != nil {
				return p.acked, err
			}
		}
	}
}

// publisher knows what a client publishes next.
type publisher struct {
	number int // of the client
	topic  string
	window int
	more   func() bool // whether another message may be sent
	qos    byte        // 0: 1
	order  *ordered    // what its messages are; nil: those of fill

	sent, acked int
	enough      bool // more has said no
	body        [payloadSize]byte
	buf         []byte // of whoever uses it
}

const pubackSize = 4

// refill appends the packets that the window has room for.
func (p *publisher) refill(b []byte) []byte {
	size := 2 + len(p.topic) + 2 + payloadSize
	for !p.enough && p.sent-p.acked < p.window {
		if p.enough = !p.more(); p.enough {
			break
		}
		p.sent++
		if p.order != nil {
			p.order.hand(p)
		} else {
			fill(p.body[:], p.number, p.sent)
		}
		b = append(b, 0x30|max(p.qos, 1)<<1, byte(size)|128, byte(size>>7), 0, byte(len(p.topic)))
		b = append(b, p.topic...)
		b = binary.BigEndian.AppendUint16(b, uint16(p.sent%60000+1))
		b = append(b, p.body[:]...)
	}
	return b
}

// take takes a PUBACK.
func (p *publisher) take(puback []byte) error {
	if puback[0] != 0x40 {
		return fmt.Errorf("packet %x instead of a PUBACK", puback)
	}
	p.acked++
	if p.order != nil {
		p.order.stored(p)
	}
	return nil
}

// done says that nothing more is sent or awaited.
func (p *publisher) done() bool { return p.enough && p.acked == p.sent }

// forTime says more for so long.
func forTime(length time.Duration) func() bool {
	began := time.Now()
	return func() bool { return time.Since(began) < length }
}

// upTo says more so many times.
func upTo(n int) func() bool {
	given := 0
	return func() bool { given++; return given <= n }
}
