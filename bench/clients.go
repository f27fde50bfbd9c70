//go:build linux

package main

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

const clients = 64

// client is an MQTT 3.1.1 client on the bare socket, which publishes at QoS 1.
type client struct {
	conn net.Conn
	in   *bufio.Reader
	buf  []byte
	sent int
}

// connect opens a session.
func connect(addr, id string) (*client, error) {
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		return nil, err
	}
	c := &client{conn: conn, in: bufio.NewReaderSize(conn, 16<<10)}
	packet := []byte{0x10, byte(12 + len(id)), 0, 4, 'M', 'Q', 'T', 'T', 4, 2, 0, 0, 0, byte(len(id))}
	if _, err := conn.Write(append(packet, id...)); err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	var answer [4]byte
	if _, err := io.ReadFull(c.in, answer[:]); err != nil || answer != [4]byte{0x20, 2, 0, 0} {
		return nil, errors.Join(fmt.Errorf("CONNACK of %s: %x, %w", addr, answer, err), conn.Close())
	}
	return c, nil
}

// subscribe asks for a topic at QoS 0.
func (c *client) subscribe(topic string) error {
	packet := []byte{0x82, byte(5 + len(topic)), 0, 1, 0, byte(len(topic))}
	if _, err := c.conn.Write(append(append(packet, topic...), 0)); err != nil {
		return err
	}
	var answer [5]byte
	if _, err := io.ReadFull(c.in, answer[:]); err != nil || answer != [5]byte{0x90, 3, 0, 1, 0} {
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
func (c *client) publish(producer, window int, more func() bool) (int, error) {
	return c.publishTo(topic(producer), producer, window, more)
}

func (c *client) publishTo(name string, producer, window int, more func() bool) (int, error) {
	body := make([]byte, payloadSize)
	size := 2 + len(name) + 2 + payloadSize
	from, acked := c.sent, 0
	for open := true; ; {
		c.buf = c.buf[:0]
		for open && c.sent-from-acked < window {
			if open = more(); !open {
				break
			}
			c.sent++
			fill(body, producer, c.sent)
			c.buf = append(c.buf, 0x32, byte(size)|128, byte(size>>7), 0, byte(len(name)))
			c.buf = append(c.buf, name...)
			c.buf = binary.BigEndian.AppendUint16(c.buf, uint16(c.sent%60000+1))
			c.buf = append(c.buf, body...)
		}
		if len(c.buf) > 0 {
			if _, err := c.conn.Write(c.buf); err != nil {
				return acked, err
			}
		}
		if acked == c.sent-from {
			return acked, nil
		}
		for first := true; first || c.in.Buffered() >= 4; first = false {
			p, err := c.in.Peek(4)
			if err != nil {
				return acked, err
			}
			if p[0] != 0x40 {
				return acked, fmt.Errorf("packet %x instead of a PUBACK", p)
			}
			if _, err := c.in.Discard(4); err != nil {
				return acked, err
			}
			acked++
		}
	}
}

// publishAll lets many clients publish, until more says that it is enough, and
// returns how many messages were acknowledged.
func publishAll(addr string, window int, more func() bool) (int, error) {
	errs := make([]error, clients)
	var all sync.WaitGroup
	var acked atomic.Int64
	for i := range clients {
		c, err := connect(addr, fmt.Sprintf("bench-%d", i))
		if err != nil {
			return 0, err
		}
		defer c.conn.Close()
		all.Go(func() {
			n, err := c.publish(i, window, more)
			acked.Add(int64(n))
			errs[i] = err
		})
	}
	all.Wait()
	return int(acked.Load()), errors.Join(errs...)
}

// forTime says more for so long.
func forTime(length time.Duration) func() bool {
	began := time.Now()
	return func() bool { return time.Since(began) < length }
}

// upTo says more so many times.
func upTo(n int) func() bool {
	var given atomic.Int64
	return func() bool { return given.Add(1) <= int64(n) }
}
