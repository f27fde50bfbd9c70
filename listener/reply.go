package listener

import (
	"bytes"
	"time"

	"github.com/mochi-mqtt/server/v2/packets"
)

// appendAck appends a PUBACK, PUBREC, PUBREL or PUBCOMP. By hand, because the
// codec takes 20 times as long for these four bytes. code is for MQTT 5.
func appendAck(b []byte, kind byte, id uint16, code, version byte) []byte {
	first := kind << 4
	if kind == packets.Pubrel {
		first |= 2 // [MQTT-3.6.1-1]
	}
	if code != 0 && version == mqtt5 {
		return append(b, first, 3, byte(id>>8), byte(id), code)
	}
	return append(b, first, 2, byte(id>>8), byte(id))
}

// decodeAck decodes the bytes after the fixed header of a PUBACK, PUBREC,
// PUBREL or PUBCOMP.
func decodeAck(b []byte, kind, version byte) (id uint16, code byte, err error) {
	f := fields{rest: b}
	id = f.id()
	if version == mqtt5 && len(f.rest) > 0 {
		code = f.byte()
		if len(f.rest) > 0 {
			f.properties(kind)
		}
	}
	return id, code, f.end()
}

// decodeDisconnect returns the reason code of a DISCONNECT, and how long it wants
// the session to be kept; nil: as was said before.
func decodeDisconnect(b []byte, version byte) (code byte, expiry *time.Duration, err error) {
	f := fields{rest: b}
	if version == mqtt5 && len(f.rest) > 0 {
		code = f.byte()
		if len(f.rest) > 0 {
			p, _ := f.properties(packets.Disconnect)
			if p.SessionExpiryIntervalFlag {
				d := time.Duration(p.SessionExpiryInterval) * time.Second
				expiry = &d
			}
		}
	}
	return code, expiry, f.end()
}

// encodeConnack says yes, whether there is a session, and to a client of MQTT 5
// with which limits.
func encodeConnack(c connect, present bool, o Options) []byte {
	p := packets.Packet{FixedHeader: packets.FixedHeader{Type: packets.Connack}, ProtocolVersion: c.version, SessionPresent: present}
	p.Properties = packets.Properties{
		ReceiveMaximum:         uint16(o.ReceiveMax),
		MaximumPacketSize:      uint32(o.MaxMessageSize + maxProperties + 65535 + 16),
		SubIDAvailableFlag:     true, // not available
		SharedSubAvailableFlag: true, // not available
	}
	switch {
	case !c.kept:
	case o.Sessions == nil:
		p.Properties.SessionExpiryIntervalFlag = true // 0: ends with the connection
	default:
		if d := o.Sessions.SessionExpiry(c.expiry); d != c.expiry { // [MQTT5-3.2.2-21]
			p.Properties.SessionExpiryIntervalFlag = true
			p.Properties.SessionExpiryInterval = uint32(min(d/time.Second, noExpiry))
		}
	}
	if c.generated {
		p.Properties.AssignedClientID = c.clientID // [MQTT5-3.2.2-16]
	}
	var b bytes.Buffer
	p.ConnackEncode(&b)
	return b.Bytes()
}

// encodeRefusal is the CONNACK that says no; nil if none is to be sent.
func encodeRefusal(r *refusal) []byte {
	if r.version == 0 {
		return nil
	}
	p := packets.Packet{FixedHeader: packets.FixedHeader{Type: packets.Connack}, ProtocolVersion: r.version, ReasonCode: r.v3}
	if r.version == mqtt5 {
		p.ReasonCode = r.v5
	}
	var b bytes.Buffer
	p.ConnackEncode(&b)
	return b.Bytes()
}

// encodeSuback answers SUBSCRIBE.
func encodeSuback(id uint16, codes []byte, version byte) []byte {
	p := packets.Packet{FixedHeader: packets.FixedHeader{Type: packets.Suback}, ProtocolVersion: version, PacketID: id, ReasonCodes: codes}
	var b bytes.Buffer
	p.SubackEncode(&b)
	return b.Bytes()
}

// encodeUnsuback answers UNSUBSCRIBE.
func encodeUnsuback(id uint16, codes []byte, version byte) []byte {
	p := packets.Packet{FixedHeader: packets.FixedHeader{Type: packets.Unsuback}, ProtocolVersion: version, PacketID: id, ReasonCodes: codes}
	var b bytes.Buffer
	p.UnsubackEncode(&b)
	return b.Bytes()
}

// encodeDisconnect says why the connection ends, to a client of MQTT 5; nil for
// others, which know no such packet.
func encodeDisconnect(code, version byte) []byte {
	if version != mqtt5 {
		return nil
	}
	p := packets.Packet{FixedHeader: packets.FixedHeader{Type: packets.Disconnect}, ProtocolVersion: version, ReasonCode: code}
	var b bytes.Buffer
	p.DisconnectEncode(&b)
	return b.Bytes()
}
