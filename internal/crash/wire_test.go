//go:build unix

package crash

import (
	"bufio"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"time"
)

// What these tests speak of MQTT 3.1.1, byte by byte: with the code under test
// they share nothing.
const (
	connackType  = 0x20
	publishType  = 0x30
	pubackType   = 0x40
	subackType   = 0x90
	dupFlag      = 0x08
	qos1Flag     = 0x02
	retainFlag   = 0x01
	greetingTime = 20 * time.Second // until CONNACK or SUBACK
)

// text is a string as MQTT writes it.
func text(s string) []byte { return append(binary.BigEndian.AppendUint16(nil, uint16(len(s))), s...) }

// packet puts a fixed header before what follows it.
func packet(first byte, parts ...[]byte) []byte {
	n := 0
	for _, p := range parts {
		n += len(p)
	}
	b := binary.AppendUvarint([]byte{first}, uint64(n)) // the same encoding
	for _, p := range parts {
		b = append(b, p...)
	}
	return b
}

func connectPacket(id string, clean bool) []byte {
	flags := byte(0)
	if clean {
		flags = 2
	}
	return packet(0x10, text("MQTT"), []byte{4, flags, 0, 0}, text(id))
}

// publishPacket is a PUBLISH at QoS 1.
func publishPacket(topic string, payload []byte, id uint16) []byte {
	return packet(publishType|qos1Flag, text(topic), []byte{byte(id >> 8), byte(id)}, payload)
}

func pubackPacket(id uint16) []byte { return []byte{pubackType, 2, byte(id >> 8), byte(id)} }

func subscribePacket(id uint16, filter string) []byte {
	return packet(0x82, []byte{byte(id >> 8), byte(id)}, text(filter), []byte{1})
}

// client is a connection that speaks MQTT.
type client struct {
	net.Conn
	r *bufio.Reader
	w *bufio.Writer
}

// dial opens a connection without a word.
func dial(ctx context.Context, addr string) (*client, error) {
	conn, err := (&net.Dialer{Timeout: greetingTime}).DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	return newClient(conn), nil
}

func newClient(conn net.Conn) *client {
	return &client{Conn: conn, r: bufio.NewReaderSize(conn, 32<<10), w: bufio.NewWriterSize(conn, 32<<10)}
}

// refusedError is a CONNACK that says no.
type refusedError byte

func (e refusedError) Error() string { return fmt.Sprintf("CONNECT was refused with code %d", byte(e)) }

// connect opens a connection and greets. present says that the other side knows
// the session.
func connect(ctx context.Context, addr, id string, clean bool) (c *client, present bool, err error) {
	if c, err = dial(ctx, addr); err != nil {
		return nil, false, err
	}
	c.SetDeadline(time.Now().Add(greetingTime))
	body, err := c.ask(connectPacket(id, clean), connackType)
	if err == nil && (len(body) != 2 || body[1] != 0) {
		err = refusedError(body[len(body)-1])
	}
	if err != nil {
		c.Close()
		return nil, false, err
	}
	c.SetDeadline(time.Time{})
	return c, body[0] == 1, nil
}

// ask sends a packet and reads the answer, which must be of that type.
func (c *client) ask(p []byte, answer byte) ([]byte, error) {
	if _, err := c.Write(p); err != nil {
		return nil, err
	}
	first, body, err := c.read()
	if err != nil {
		return nil, err
	}
	if first != answer || len(body) == 0 {
		return nil, fmt.Errorf("the answer to packet %#x is %#x with %d bytes", p[0], first, len(body))
	}
	return body, nil
}

// read returns the next packet: its first byte and what follows its header.
func (c *client) read() (first byte, body []byte, err error) {
	if first, err = c.r.ReadByte(); err != nil {
		return 0, nil, err
	}
	n, err := binary.ReadUvarint(c.r)
	if err != nil {
		return 0, nil, err
	}
	if n > 1<<28 {
		return 0, nil, fmt.Errorf("a packet of %d bytes", n)
	}
	body = make([]byte, n)
	_, err = io.ReadFull(c.r, body)
	return first, body, err
}

// message is a PUBLISH that arrived.
type message struct {
	first   byte // flags and all
	id      uint16
	topic   string
	payload []byte
}

// parsePublish takes a PUBLISH apart.
func parsePublish(first byte, body []byte) (message, error) {
	m := message{first: first}
	if len(body) < 2 {
		return m, io.ErrUnexpectedEOF
	}
	n := int(binary.BigEndian.Uint16(body))
	if body = body[2:]; len(body) < n {
		return m, io.ErrUnexpectedEOF
	}
	m.topic, body = string(body[:n]), body[n:]
	if first&6 != 0 {
		if len(body) < 2 {
			return m, io.ErrUnexpectedEOF
		}
		m.id, body = binary.BigEndian.Uint16(body), body[2:]
	}
	m.payload = body
	return m, nil
}
