package mqtt

import (
	"fmt"
	"testing"

	"github.com/mqttdb/mqttdb/broker"
	"github.com/mqttdb/mqttdb/types"
)

// benchMessages is how many packets are encoded or decoded together, as a link
// does it when it has much to do.
const benchMessages = 100

// loop is a stream in which the same bytes come again and again.
type loop struct {
	bytes []byte
	at    int
}

func (l *loop) Read(b []byte) (int, error) {
	n := copy(b, l.bytes[l.at:])
	l.at = (l.at + n) % len(l.bytes)
	return n, nil
}

// BenchmarkAppendPublish is what a message that leaves costs before it is
// written to the socket: the check, and the bytes.
func BenchmarkAppendPublish(b *testing.B) {
	p := broker.Publish{ID: 7, Message: types.Message{Topic: "sensors/room1/t1", Payload: make([]byte, 200), QoS: 1}}
	var out []byte
	b.ReportAllocs()
	for b.Loop() {
		out = out[:0]
		for range benchMessages {
			if err := checkPublish(&p); err != nil {
				b.Fatal(err)
			}
			out = appendPublish(out, &p)
		}
	}
	perMessage(b)
}

// BenchmarkFrames is what a packet that comes from the broker costs until it is
// told: an acknowledgement, and a message of 200 bytes.
func BenchmarkFrames(b *testing.B) {
	message := types.Message{Topic: "sensors/room1/t1", Payload: make([]byte, 200), QoS: 1}
	for _, test := range []struct {
		name   string
		packet []byte
	}{
		{"PUBACK", appendAck(nil, firstOfAck(broker.PubAck), 7)},
		{"PUBLISH", appendPublish(nil, &broker.Publish{ID: 7, Message: message})},
	} {
		b.Run(test.name, func(b *testing.B) {
			in := newFrames(&loop{bytes: test.packet}, 1<<20)
			b.ReportAllocs()
			for b.Loop() {
				for range benchMessages {
					if err := decodeNext(in); err != nil {
						b.Fatal(err)
					}
				}
			}
			perMessage(b)
		})
	}
}

func decodeNext(in *frames) error {
	for {
		f, ok, err := in.next()
		if err != nil {
			return err
		}
		if ok {
			packet, err := decode(f)
			if packet == nil {
				return fmt.Errorf("nothing was decoded: %w", err)
			}
			return err
		}
		if err := in.fill(); err != nil {
			return err
		}
	}
}

func perMessage(b *testing.B) {
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*benchMessages), "ns/msg")
}
