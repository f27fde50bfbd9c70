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
			if err == nil && r.refused(version, nil) == 0 && types.CheckFilter(r.filter) != nil {
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
