package listener

import (
	"bytes"
	"errors"
	"io"
	"net"
	"testing"
	"time"

	"github.com/mochi-mqtt/server/v2/packets"

	"github.com/mqttdb/mqttdb/types"
)

// bytesConn is a connection from which fixed bytes are read.
type bytesConn struct {
	net.Conn // nil: whatever else is called is a bug
	io.Reader
}

func (c bytesConn) Read(b []byte) (int, error)      { return c.Reader.Read(b) }
func (c bytesConn) SetReadDeadline(time.Time) error { return nil }

// FuzzReader feeds the packet reader and all decoders with arbitrary bytes. What
// comes out of them is what a client may send.
func FuzzReader(f *testing.F) {
	const limit = 1000
	f.Add(byte(4), connectPacket(mqtt311, "c", "will", 60))
	f.Add(byte(5), connectPacket(mqtt5, "c", "will", 60))
	f.Add(byte(5), packet(0x10, str("MQTT"), []byte{5, 4, 0, 60, 5, 17, 0, 0, 0, 9}, str("c"), []byte{10, 24, 0, 0, 0, 1, 2, 0, 0, 0, 9}, str("w"), str("x")))
	f.Add(byte(4), publishPacket(mqtt311, "a/b", []byte("x"), 2, 7, true, true))
	f.Add(byte(5), packet(0x32, str("a"), []byte{0, 1, 5, 2, 0, 0, 0, 9}, []byte("x")))
	f.Add(byte(5), packet(0x32, str("a"), []byte{0, 1, 7, 38, 0, 1, 'k', 0, 1, 'v'}, []byte("x")))
	f.Add(byte(4), publishPacket(mqtt311, "big", make([]byte, limit+1), 1, 7, false, false))
	f.Add(byte(5), subscribePacket(mqtt5, 1, "a/#", 1))
	f.Add(byte(5), []byte{0x82, 6, 0, 1, 0, 0, 1, 'a'}) // panics in the codec's decoder
	f.Add(byte(4), packet(0xA2, []byte{0, 3}, str("a"), str("b")))
	f.Add(byte(5), []byte{0x40, 4, 0, 1, 0x10, 0, 0xE0, 1, 4, 0xC0, 0})
	f.Add(byte(3), []byte{0x6A, 2, 0, 1})
	f.Fuzz(func(t *testing.T, version byte, data []byte) {
		in := newPacketReader(bytesConn{Reader: bytes.NewReader(data)}, limit)
		in.version = 3 + version%3
		for {
			h, err := in.next()
			if err != nil {
				return
			}
			if h.kind == packets.Publish {
				p, err := in.publish(h)
				if err != nil {
					return
				}
				checkPublish(t, p, limit)
				continue
			}
			body, err := in.body(h.length)
			if err != nil {
				return
			}
			checkBody(t, h.kind, body, in.version)
		}
	})
}

func checkPublish(t *testing.T, p publish, limit int) {
	if err := p.message.Check(limit); err != nil {
		t.Errorf("accepted %+v: %v", p, err)
	}
	if (p.message.QoS > 0) != (p.id > 0) || p.large != (p.size > limit) {
		t.Errorf("accepted %+v", p)
	}
	// It survives its own encoding.
	in := newPacketReader(bytesConn{Reader: bytes.NewReader(appendPublish(nil, &p.message, p.message.QoS, p.id, p.message.Retain, mqtt5))}, limit)
	in.version = mqtt5
	h, err := in.next()
	if err != nil {
		t.Fatal(err)
	}
	again, err := in.publish(h)
	m, n := p.message, again.message
	if err != nil || m.Topic != n.Topic || m.QoS != n.QoS || m.Retain != n.Retain || !bytes.Equal(m.Payload, n.Payload) || !bytes.Equal(m.Properties, n.Properties) {
		t.Errorf("%+v became %+v, %v", p, again, err)
	}
}

func checkBody(t *testing.T, kind byte, body []byte, version byte) {
	switch kind {
	case packets.Connect:
		c, err := decodeConnect(body)
		var no *refusal
		switch {
		case err != nil && !errors.As(err, &no):
			t.Errorf("%v is no refusal", err)
		case err == nil && c.will != nil && c.will.Check(65535) != nil:
			t.Errorf("accepted the will %+v", c.will)
		}
	case packets.Subscribe:
		_, requests, err := decodeSubscribe(body, version)
		for _, r := range requests {
			if err == nil && r.qos > 2 {
				t.Errorf("accepted %+v", r)
			}
			if err == nil && r.refused(version) == 0 && types.CheckFilter(r.filter) != nil {
				t.Errorf("granted %q", r.filter)
			}
		}
	case packets.Unsubscribe:
		decodeUnsubscribe(body, version)
	case packets.Disconnect:
		decodeDisconnect(body, version)
	case packets.Puback, packets.Pubrec, packets.Pubrel, packets.Pubcomp:
		if id, _, err := decodeAck(body, kind, version); err == nil && id == 0 {
			t.Error("accepted packet id 0")
		}
	}
}
