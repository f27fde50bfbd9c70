package mqtt

import (
	"bytes"
	"encoding/binary"

	"github.com/eclipse/paho.mqtt.golang/packets"

	"github.com/mqttdb/mqttdb/broker"
	"github.com/mqttdb/mqttdb/types"
)

// pong is a PINGRESP: it says nothing but that the broker is there.
type pong struct{}

// checkFirst says whether a broker may send a packet of this type with these
// flags [MQTT-2.2.2].
func checkFirst(first byte) error {
	kind, flags := first>>4, first&0x0f
	switch kind {
	case packets.Publish:
		switch {
		case flags&0x06 == 0x06:
			return malformed("a PUBLISH with QoS 3 [MQTT-3.3.1-4]")
		case flags&0x0e == 0x08:
			return malformed("a PUBLISH with DUP at QoS 0 [MQTT-3.3.1-2]")
		}
		return nil
	case packets.Pubrel:
		if flags&^0x08 == 0x02 { // MQTT 3.1 sets DUP when it sends one again
			return nil
		}
	case packets.Connack, packets.Puback, packets.Pubrec, packets.Pubcomp, packets.Suback, packets.Unsuback, packets.Pingresp:
		if flags == 0 {
			return nil
		}
	default:
		return malformed("a packet of type %d, which only clients send or nobody", kind)
	}
	return malformed("a %s with flags %04b [MQTT-2.2.2-2]", packets.PacketNames[kind], flags)
}

// checkBody says whether a body has a length that its packet can have, so that
// the codec finds each field that it looks for.
func checkBody(first byte, body []byte) error {
	kind, n := first>>4, len(body)
	ok := true
	switch kind {
	case packets.Publish:
		ok = n >= 2 && publishHead(first, body) <= n
	case packets.Suback:
		ok = n >= 3
	case packets.Pingresp:
		ok = n == 0
	default:
		ok = n == 2
	}
	if !ok {
		return malformed("a %s of %d bytes, which does not hold its fields or has more", packets.PacketNames[kind], n)
	}
	return nil
}

// decode makes of a frame what it tells: a broker.Ack, broker.Inbound,
// broker.Subscribed, broker.Unsubscribed, a pong or a *packets.ConnackPacket.
// Nothing of it aliases the frame.
func decode(f frame) (any, error) {
	if err := checkBody(f.first, f.body); err != nil {
		return nil, err
	}
	// Acknowledgements and messages are nearly all that a broker sends. For the two
	// bytes of the former the codec would take three allocations, for the latter eight.
	if a, is, err := acknowledgement(f); is {
		return a, err
	}
	if f.first>>4 == packets.Publish {
		return inbound(f)
	}
	header := packets.FixedHeader{
		MessageType:     f.first >> 4,
		Dup:             f.first&0x08 != 0,
		Qos:             f.first >> 1 & 0x03,
		Retain:          f.first&0x01 != 0,
		RemainingLength: len(f.body),
	}
	packet, err := packets.NewControlPacketWithHeader(header)
	if err != nil {
		return nil, malformed("what the codec cannot read: %w", err)
	}
	// A bytes.Buffer, because it reads whole and takes an empty payload.
	body := bytes.NewBuffer(f.body)
	if err := packet.Unpack(body); err != nil {
		return nil, malformed("a %s that the codec cannot read: %w", packets.PacketNames[header.MessageType], err)
	}
	if body.Len() > 0 {
		return nil, malformed("a %s with %d bytes behind its end", packets.PacketNames[header.MessageType], body.Len())
	}
	switch p := packet.(type) {
	case *packets.PubrelPacket:
		return broker.Inbound{Kind: broker.Release, ID: p.MessageID}, checkID("PUBREL", p.MessageID)
	case *packets.SubackPacket:
		return subscribed(p)
	case *packets.UnsubackPacket:
		return broker.Unsubscribed{ID: p.MessageID}, checkID("UNSUBACK", p.MessageID)
	case *packets.PingrespPacket:
		return pong{}, nil
	}
	return packet, nil // CONNACK; checkFirst lets no other pass
}

// acknowledgement reads a frame if it is one.
func acknowledgement(f frame) (a broker.Ack, is bool, err error) {
	what := ""
	switch f.first >> 4 {
	case packets.Puback:
		what, a.Kind = "PUBACK", broker.PubAck
	case packets.Pubrec:
		what, a.Kind = "PUBREC", broker.PubRec
	case packets.Pubcomp:
		what, a.Kind = "PUBCOMP", broker.PubComp
	default:
		return a, false, nil
	}
	if err := checkBody(f.first, f.body); err != nil {
		return a, true, err
	}
	a.ID = binary.BigEndian.Uint16(f.body)
	return a, true, checkID(what, a.ID)
}

// inbound reads the body of a PUBLISH, which checkBody has looked at. A test holds
// it to what the codec reads.
func inbound(f frame) (any, error) {
	head := publishHead(f.first, f.body)
	topic, id := f.body[2:head], uint16(0)
	qos := types.QoS(f.first >> 1 & 0x03)
	if qos > 0 {
		topic, id = f.body[2:head-2], binary.BigEndian.Uint16(f.body[head-2:])
		if err := checkID("PUBLISH", id); err != nil {
			return nil, err
		}
	}
	in := broker.Inbound{
		Kind:    broker.Message,
		ID:      id,
		Dup:     f.first&0x08 != 0,
		Message: types.Message{Topic: string(topic), QoS: qos, Retain: f.first&0x01 != 0},
	}
	if err := types.CheckTopic(in.Message.Topic); err != nil {
		return nil, malformed("a PUBLISH to an %w [MQTT-3.3.2-1]", err)
	}
	if f.oversized {
		in.Kind, in.Size = broker.Oversized, f.skipped
		return in, nil
	}
	in.Message.Payload = append([]byte{}, f.body[head:]...)
	return in, nil
}

func subscribed(p *packets.SubackPacket) (any, error) {
	for _, code := range p.ReturnCodes {
		if code > 2 && code != 0x80 {
			return nil, malformed("a SUBACK with return code %#x [MQTT-3.9.3-2]", code)
		}
	}
	return broker.Subscribed{ID: p.MessageID, Codes: p.ReturnCodes}, checkID("SUBACK", p.MessageID)
}

func checkID(what string, id uint16) error {
	if id == 0 {
		return malformed("a %s with packet id 0 [MQTT-2.3.1-1]", what)
	}
	return nil
}
