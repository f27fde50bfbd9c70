package listener

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"testing"
	"time"

	"github.com/mqttdb/mqttdb/types"
)

// rawClient speaks MQTT byte by byte, so that a test can also get it wrong.
type rawClient struct {
	t testing.TB
	net.Conn
	r       *bufio.Reader
	version byte
}

// dialRaw connects without a word.
func dialRaw(t testing.TB, s *Server) *rawClient {
	t.Helper()
	conn, err := net.Dial("tcp", s.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return &rawClient{t: t, Conn: conn, r: bufio.NewReader(conn), version: mqtt311}
}

// connectRaw connects and expects to be accepted. will is "" or a topic.
func connectRaw(t testing.TB, s *Server, version byte, id, will string, keepAlive int) *rawClient {
	t.Helper()
	c := dialRaw(t, s)
	c.version = version
	c.send(connectPacket(version, id, will, keepAlive))
	kind, body := c.read()
	if kind != 0x20 || body[1] != 0 {
		t.Fatalf("CONNECT was answered with %x %x", kind, body)
	}
	return c
}

func str(s string) []byte { return append(binary.BigEndian.AppendUint16(nil, uint16(len(s))), s...) }

// packet puts a fixed header before what follows it.
func packet(first byte, parts ...[]byte) []byte {
	n := 0
	for _, p := range parts {
		n += len(p)
	}
	b := appendVarint([]byte{first}, n)
	for _, p := range parts {
		b = append(b, p...)
	}
	return b
}

func connectPacket(version byte, id, will string, keepAlive int) []byte {
	name := str("MQTT")
	if version == mqtt31 {
		name = str("MQIsdp")
	}
	flags := byte(2)
	if will != "" {
		flags |= 4 | 1<<3
	}
	parts := [][]byte{name, {version, flags, byte(keepAlive >> 8), byte(keepAlive)}}
	if version == mqtt5 {
		parts = append(parts, []byte{0})
	}
	parts = append(parts, str(id))
	if will != "" {
		if version == mqtt5 {
			parts = append(parts, []byte{0})
		}
		parts = append(parts, str(will), str("gone"))
	}
	return packet(0x10, parts...)
}

func publishPacket(version byte, topic string, payload []byte, qos types.QoS, id uint16, dup, retain bool) []byte {
	b := appendPublish(nil, &types.Message{Topic: topic, Payload: payload}, qos, id, retain, version)
	if dup {
		b[0] |= 8
	}
	return b
}

func ackPacket(kind byte, id uint16) []byte { return appendAck(nil, kind, id, 0, mqtt311) }

func subscribePacket(version byte, id uint16, filter string, qos byte) []byte {
	var properties []byte
	if version == mqtt5 {
		properties = []byte{0}
	}
	return packet(0x82, []byte{byte(id >> 8), byte(id)}, properties, str(filter), []byte{qos})
}

func (c *rawClient) send(packets ...[]byte) {
	c.t.Helper()
	for _, p := range packets {
		if _, err := c.Write(p); err != nil {
			c.t.Fatal(err)
		}
	}
}

// publish sends a message with this text as payload.
func (c *rawClient) publish(topic, text string, qos types.QoS, id uint16, dup bool) {
	c.t.Helper()
	c.send(publishPacket(c.version, topic, []byte(text), qos, id, dup, false))
}

// read returns the next packet: its first byte and what follows the header.
func (c *rawClient) read() (first byte, body []byte) {
	c.t.Helper()
	first, body, err := c.tryRead()
	if err != nil {
		c.t.Fatalf("reading a packet: %v", err)
	}
	return first, body
}

func (c *rawClient) tryRead() (first byte, body []byte, err error) {
	c.SetReadDeadline(time.Now().Add(10 * time.Second))
	if first, err = c.r.ReadByte(); err != nil {
		return 0, nil, err
	}
	n, err := binary.ReadUvarint(c.r) // the same encoding
	if err != nil {
		return 0, nil, err
	}
	body = make([]byte, n)
	_, err = io.ReadFull(c.r, body)
	return first, body, err
}

// expect reads packets and compares them with these, as hex of all their bytes.
func (c *rawClient) expect(want ...[]byte) {
	c.t.Helper()
	for _, w := range want {
		first, body := c.read()
		if got := fmt.Sprintf("%x", packet(first, body)); got != fmt.Sprintf("%x", w) {
			c.t.Fatalf("got packet %s, want %x", got, w)
		}
	}
}

// expectSilence proves that nothing was sent, by a PINGREQ that is answered
// first.
func (c *rawClient) expectSilence() {
	c.t.Helper()
	c.send([]byte{0xC0, 0})
	c.expect([]byte{0xD0, 0})
}

// expectClosed reads until the connection ends and returns the last packet.
func (c *rawClient) expectClosed() (first byte, body []byte) {
	c.t.Helper()
	for {
		f, b, err := c.tryRead()
		if timeout, ok := err.(net.Error); ok && timeout.Timeout() {
			c.t.Fatal("the connection was not closed")
		}
		if err != nil {
			return first, body
		}
		first, body = f, b
	}
}

// subscribe subscribes and expects to be granted the QoS.
func (c *rawClient) subscribe(filter string, qos byte) {
	c.t.Helper()
	c.send(subscribePacket(c.version, 9, filter, qos))
	first, body := c.read()
	if first != 0x90 || body[len(body)-1] != qos {
		c.t.Fatalf("SUBSCRIBE was answered with %x %x", first, body)
	}
}

// message reads a PUBLISH and acknowledges it if it is QoS 1.
func (c *rawClient) message() (m types.Message, id uint16) {
	c.t.Helper()
	first, body := c.read()
	if first>>4 != 3 {
		c.t.Fatalf("got packet %x %x instead of a PUBLISH", first, body)
	}
	m.QoS, m.Retain = types.QoS(first>>1&3), first&1 != 0
	n := int(binary.BigEndian.Uint16(body))
	m.Topic, body = string(body[2:2+n]), body[2+n:]
	if m.QoS > 0 {
		id, body = binary.BigEndian.Uint16(body), body[2:]
	}
	if c.version == mqtt5 {
		n := int(body[0]) // short ones only
		m.Properties, body = body[1:1+n], body[1+n:]
	}
	m.Payload = body
	if m.QoS == 1 {
		c.send(ackPacket(4, id))
	}
	return m, id
}
