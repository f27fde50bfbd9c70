package mqtt

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/eclipse/paho.mqtt.golang/packets"

	"github.com/mqttdb/mqttdb/broker"
	"github.com/mqttdb/mqttdb/types"
)

// What we write by hand is what the codec would write.
func FuzzEncodeAsTheCodec(f *testing.F) {
	for _, size := range []int{0, 1, 119, 120, 121, 16375, 16376, 16377, 2097143, 2097144, 2097145} { // around each length of the length
		f.Add("a/b", size, byte(1), uint16(7), true, false)
	}
	f.Add("ключ/鍵", 200, byte(2), uint16(65535), false, true)
	f.Add("t", 10, byte(0), uint16(0), false, true)
	f.Fuzz(func(t *testing.T, topic string, size int, qos byte, id uint16, dup, retain bool) {
		p := broker.Publish{ID: id, Dup: dup, Message: types.Message{Topic: topic, Payload: bytes.Repeat([]byte{'x'}, max(0, min(size, 3<<20))), QoS: types.QoS(qos), Retain: retain}}
		if checkPublish(&p) != nil {
			return
		}
		want := packets.PublishPacket{
			FixedHeader: packets.FixedHeader{MessageType: packets.Publish, Dup: dup, Qos: qos, Retain: retain},
			TopicName:   topic, MessageID: id, Payload: p.Message.Payload,
		}
		got := appendPublish(nil, &p)
		if !bytes.Equal(got, encode(&want)) {
			t.Errorf("PUBLISH % x\ncodec   % x", got[:min(len(got), 64)], encode(&want)[:min(len(got), 64)])
		}
		if n := publishSize(&p.Message) + 5; len(got) > n {
			t.Errorf("%d bytes, at most %d were foreseen", len(got), n)
		}
	})
}

func TestAcknowledgementsAsTheCodec(t *testing.T) {
	const id = 0x1234
	puback := packets.NewControlPacket(packets.Puback).(*packets.PubackPacket)
	pubrec := packets.NewControlPacket(packets.Pubrec).(*packets.PubrecPacket)
	pubrel := packets.NewControlPacket(packets.Pubrel).(*packets.PubrelPacket)
	pubcomp := packets.NewControlPacket(packets.Pubcomp).(*packets.PubcompPacket)
	puback.MessageID, pubrec.MessageID, pubrel.MessageID, pubcomp.MessageID = id, id, id, id
	want := append(append(append(encode(puback), encode(pubrec)...), encode(pubcomp)...), encode(pubrel)...)

	p, link := connect(t, nil, options())
	if err := link.Acknowledge([]broker.Ack{{Kind: broker.PubAck, ID: id}, {Kind: broker.PubRec, ID: id}, {Kind: broker.PubComp, ID: id}}); err != nil {
		t.Fatal(err)
	}
	if err := link.Release([]uint16{id}); err != nil {
		t.Fatal(err)
	}
	link.Close(true)
	p.hears(append(want, 0xe0, 0))
}

func TestConnectPacket(t *testing.T) {
	will := func(m types.Message) *types.Message { return &m }
	long := strings.Repeat("x", 70000)
	tests := []struct {
		name string
		o    broker.ConnectOptions
		want string // bytes on the wire
		says string // error
	}{
		{name: "3.1.1", o: broker.ConnectOptions{ClientID: "c", Protocol: broker.MQTT311},
			want: "\x10\x0d\x00\x04MQTT\x04\x00\x00\x00\x00\x01c"},
		{name: "3.1", o: broker.ConnectOptions{ClientID: "c", Protocol: broker.MQTT31, CleanSession: true},
			want: "\x10\x0f\x00\x06MQIsdp\x03\x02\x00\x00\x00\x01c"},
		{name: "everything", o: broker.ConnectOptions{ClientID: "c", Protocol: broker.MQTT311, KeepAlive: 1500 * time.Millisecond, Username: "u", Password: []byte("p\x00"), Will: will(types.Message{Topic: "w", Payload: []byte("off"), QoS: 1, Retain: true})},
			want: "\x10\x1c\x00\x04MQTT\x04\xec\x00\x02\x00\x01c\x00\x01w\x00\x03off\x00\x01u\x00\x02p\x00"},
		{name: "an empty password", o: broker.ConnectOptions{ClientID: "c", Protocol: broker.MQTT311, Username: "u", Password: []byte{}},
			want: "\x10\x12\x00\x04MQTT\x04\xc0\x00\x00\x00\x01c\x00\x01u\x00\x00"},
		{name: "an empty will, and the longest keepalive", o: broker.ConnectOptions{CleanSession: true, Protocol: broker.MQTT311, KeepAlive: 100 * time.Hour, Will: will(types.Message{Topic: "w"})},
			want: "\x10\x11\x00\x04MQTT\x04\x06\xff\xff\x00\x00\x00\x01w\x00\x00"},
		{name: "MQTT 5", o: broker.ConnectOptions{ClientID: "c", Protocol: broker.MQTT5}, says: "MQTT 5 is not supported yet"},
		{name: "no protocol", o: broker.ConnectOptions{ClientID: "c"}, says: "unknown MQTT protocol level 0"},
		{name: "no client id", o: broker.ConnectOptions{Protocol: broker.MQTT311}, says: "no client id"},
		{name: "no client id with 3.1", o: broker.ConnectOptions{Protocol: broker.MQTT31, CleanSession: true}, says: "no client id"},
		{name: "a long client id", o: broker.ConnectOptions{ClientID: long, Protocol: broker.MQTT311}, says: "client id has 70000 bytes"},
		{name: "a NUL in the client id", o: broker.ConnectOptions{ClientID: "a\x00", Protocol: broker.MQTT311}, says: "client id contains a NUL"},
		{name: "a username that is not UTF-8", o: broker.ConnectOptions{ClientID: "c", Username: "\xff", Protocol: broker.MQTT311}, says: "username is not valid UTF-8"},
		{name: "a password alone", o: broker.ConnectOptions{ClientID: "c", Password: []byte("p"), Protocol: broker.MQTT311}, says: "without a username"},
		{name: "a long password", o: broker.ConnectOptions{ClientID: "c", Username: "u", Password: []byte(long), Protocol: broker.MQTT311}, says: "password has 70000 bytes"},
		{name: "a will to a wildcard", o: broker.ConnectOptions{ClientID: "c", Protocol: broker.MQTT311, Will: will(types.Message{Topic: "#"})}, says: "the will: invalid topic"},
		{name: "a large will", o: broker.ConnectOptions{ClientID: "c", Protocol: broker.MQTT311, Will: will(types.Message{Topic: "w", Payload: []byte(long)})}, says: "the will: message too large"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			p, err := connectPacket(test.o)
			if test.says != "" {
				d := Dialer{Network: func(context.Context) (broker.Conn, error) { return nil, errors.New("must not be called") }}
				_, _, dialed := d.Dial(t.Context(), test.o, nil)
				if err == nil || !strings.Contains(err.Error(), test.says) || !strings.Contains(dialed.Error(), test.says) {
					t.Errorf("%v, %v, want %q", err, dialed, test.says)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if got := string(encode(p)); got != test.want {
				t.Errorf("%q\nwant %q", got, test.want)
			}
		})
	}
}

func TestSubscribePackets(t *testing.T) {
	p, link := connect(t, nil, options())
	check := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	check(link.Subscribe(1, []broker.Filter{{Topic: "a/#", QoS: 2}, {Topic: "b", QoS: 0}}))
	check(link.Unsubscribe(2, []string{"a/#", "+"}))
	p.hears([]byte("\x82\x0c\x00\x01\x00\x03a/#\x02\x00\x01b\x00" + "\xa2\x0a\x00\x02\x00\x03a/#\x00\x01+"))
	if err := link.Subscribe(2, []broker.Filter{{Topic: "c"}}); err == nil {
		t.Error("an id was used twice without an answer between")
	}
	p.says(0xb0, 2, 0, 2)
	p.until(func() bool { return len(p.events) == 1 })
	check(link.Subscribe(2, []broker.Filter{{Topic: "c"}}))
}
