package mqtt

import (
	"bytes"
	"testing"

	"github.com/eclipse/paho.mqtt.golang/packets"

	"github.com/mqttdb/mqttdb/broker"
	"github.com/mqttdb/mqttdb/types"
)

// What we read by hand is what the codec reads, and not the memory that it came in.
func FuzzDecodeAsTheCodec(f *testing.F) {
	f.Add(byte(0x30), []byte("\x00\x01ax"))
	f.Add(byte(0x32), []byte("\x00\x03a/b\x00\x07payload"))
	f.Add(byte(0x3d), []byte("\x00\x01c\xff\xff"))
	f.Add(byte(0x3b), []byte("\x00\x01c\x00\x00z"))   // packet id 0
	f.Add(byte(0x32), []byte("\x00\x01c\x00"))        // ends within its packet id
	f.Add(byte(0x30), []byte("\x00\x05c"))            // ends within its topic
	f.Add(byte(0x30), []byte("\x00\x00x"))            // no topic
	f.Add(byte(0x30), []byte("\x00\x03a/#x"))         // a filter
	f.Add(byte(0x30), []byte("\x00\x02\xc3\x28text")) // not UTF-8
	f.Fuzz(func(t *testing.T, flags byte, body []byte) {
		first := packets.Publish<<4 | flags&0x0f
		if checkFirst(first) != nil {
			return
		}
		arrived := bytes.Clone(body)
		got, err := decode(frame{first: first, body: arrived})
		clear(arrived)

		want := packets.PublishPacket{FixedHeader: packets.FixedHeader{MessageType: packets.Publish, Qos: first >> 1 & 3, RemainingLength: len(body)}}
		wrong := checkBody(first, body) != nil || want.Unpack(bytes.NewBuffer(body)) != nil ||
			want.Qos > 0 && want.MessageID == 0 || types.CheckTopic(want.TopicName) != nil
		if wrong || err != nil {
			if !wrong || err == nil {
				t.Errorf("%x % x: %v, though the codec reads %+v", first, body, err, want)
			}
			return
		}
		in := got.(broker.Inbound)
		m := in.Message
		if in.Kind != broker.Message || in.ID != want.MessageID || in.Dup != (first&8 != 0) || in.Size != 0 || m.Topic != want.TopicName ||
			!bytes.Equal(m.Payload, want.Payload) || m.QoS != types.QoS(want.Qos) || m.Retain != (first&1 != 0) {
			t.Errorf("%x % x became %+v, the codec reads %+v", first, body, in, want)
		}
	})
}
