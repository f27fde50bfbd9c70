package listener

import (
	"encoding/binary"
	"time"

	"github.com/mochi-mqtt/server/v2/packets"

	"github.com/mqttdb/mqttdb/types"
)

// publish is a PUBLISH packet [MQTT-3.3] from a client.
type publish struct {
	id      uint16 // 0 at QoS 0
	dup     bool
	size    int           // of the payload, in bytes
	large   bool          // above the limit, and read past
	message types.Message // without payload if large
}

// topicCache holds the topics that a client published to lately, so that they
// are checked and allocated once.
type topicCache map[string]string

// Bounds of a topicCache: topics, and bytes of one that is kept.
const (
	maxCachedTopics = 256
	maxCachedTopic  = 256
)

// get returns the topic that these bytes are.
func (c topicCache) get(b []byte) (string, error) {
	if topic, ok := c[string(b)]; ok {
		return topic, nil
	}
	topic := string(b)
	if err := types.CheckNewTopic(topic); err != nil {
		return "", &protocolError{code: codeBadTopic, text: err.Error()}
	}
	if len(topic) <= maxCachedTopic {
		if len(c) == maxCachedTopics {
			clear(c)
		}
		c[topic] = topic
	}
	return topic, nil
}

// publish reads what follows the fixed header of a PUBLISH.
func (r *packetReader) publish(h header) (p publish, err error) {
	p.dup = h.flags&8 != 0
	p.message.QoS = types.QoS(h.flags >> 1 & 3)
	p.message.Retain = h.flags&1 != 0

	need := 2 // of the bytes that are left
	if p.message.QoS > 0 {
		need = 4
	}
	if h.length < need {
		return p, malformed("the packet ends too early")
	}
	size, err := r.uint16()
	if err != nil {
		return p, err
	}
	left := h.length - need - int(size)
	if left < 0 {
		return p, malformed("the packet ends too early")
	}
	topic, err := r.body(int(size))
	if err != nil {
		return p, err
	}
	if size == 0 && r.version == mqtt5 {
		return p, &protocolError{code: codeNoAlias, text: "a topic alias, which was not offered"}
	}
	if p.message.Topic, err = r.topics.get(topic); err != nil {
		return p, err
	}
	if p.message.QoS > 0 {
		if p.id, err = r.uint16(); err != nil {
			return p, err
		}
		if p.id == 0 {
			return p, malformed("packet id 0") // [MQTT-2.3.1-1]
		}
	}
	if r.version == mqtt5 {
		if left, err = r.publishProperties(&p.message, left); err != nil {
			return p, err
		}
	}
	p.size = left
	if left > r.maxPayload {
		p.large = true
		return p, r.skip(left)
	}
	if left > 0 {
		p.message.Payload, err = r.read(left)
	}
	return p, err
}

// publishProperties reads the properties of a PUBLISH into m, and returns how
// many bytes of the packet are left.
func (r *packetReader) publishProperties(m *types.Message, left int) (int, error) {
	size, digits := 0, 0
	for {
		if digits == left || digits == 4 {
			return 0, malformed("the length of the properties")
		}
		b, err := r.buf.ReadByte()
		if err != nil {
			return 0, r.partError(err)
		}
		size |= int(b&127) << (7 * digits)
		digits++
		if b < 128 {
			break
		}
	}
	left -= digits
	switch {
	case size == 0:
		return left, nil
	case size > left:
		return 0, malformed("the packet ends too early")
	case size > maxProperties:
		return 0, &protocolError{code: codePacketTooLarge, text: "more than 64 KiB of properties"}
	}
	raw, err := r.read(size)
	if err != nil {
		return 0, err
	}
	f := fields{rest: append(appendVarint(nil, size), raw...)}
	p, _ := f.properties(packets.Publish)
	switch {
	case f.err != nil:
		return 0, f.err
	case p.TopicAliasFlag: // [MQTT5-3.1.2-26]: CONNACK offered none
		return 0, &protocolError{code: codeNoAlias, text: "a topic alias, which was not offered"}
	case len(p.SubscriptionIdentifier) > 0: // [MQTT5-3.3.4-6]
		return 0, &protocolError{code: codeProtocolError, text: "a subscription identifier in a PUBLISH"}
	}
	m.Properties = raw
	m.Expiry = time.Duration(p.MessageExpiryInterval) * time.Second
	return left - size, nil
}

// publishSize is the length of what follows the fixed header.
func publishSize(m *types.Message, qos types.QoS, version byte) int {
	n := 2 + len(m.Topic) + len(m.Payload)
	if qos > 0 {
		n += 2
	}
	if version == mqtt5 {
		n += len(appendVarint(make([]byte, 0, 4), len(m.Properties))) + len(m.Properties)
	}
	return n
}

// appendPublish appends m as a PUBLISH with this QoS, id and flag.
func appendPublish(b []byte, m *types.Message, qos types.QoS, id uint16, retain bool, version byte) []byte {
	first := byte(packets.Publish<<4) | byte(qos)<<1
	if retain {
		first |= 1
	}
	b = appendVarint(append(b, first), publishSize(m, qos, version))
	b = binary.BigEndian.AppendUint16(b, uint16(len(m.Topic)))
	b = append(b, m.Topic...)
	if qos > 0 {
		b = binary.BigEndian.AppendUint16(b, id)
	}
	if version == mqtt5 {
		b = append(appendVarint(b, len(m.Properties)), m.Properties...)
	}
	return append(b, m.Payload...)
}
