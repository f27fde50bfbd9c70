package listener

import (
	"testing"

	"github.com/mqttdb/mqttdb/types"
)

// endless is a stream in which the same bytes come again and again.
type endless struct {
	bytes []byte
	at    int
}

func (r *endless) Read(b []byte) (int, error) {
	n := copy(b, r.bytes[r.at:])
	r.at = (r.at + n) % len(r.bytes)
	return n, nil
}

// benchVersions are those whose packets differ.
var benchVersions = []struct {
	name    string
	version byte
}{{"3.1.1", mqtt311}, {"5", mqtt5}}

// BenchmarkReadPublish is what a client's PUBLISH of 200 bytes costs until it is
// handed on, without a socket.
func BenchmarkReadPublish(b *testing.B) {
	m := types.Message{Topic: "sensors/room1/t1", Payload: make([]byte, 200)}
	for _, v := range benchVersions {
		b.Run(v.name, func(b *testing.B) {
			stream := &endless{bytes: appendPublish(nil, &m, 1, 7, false, v.version)}
			in := newPacketReader(bytesConn{Reader: stream}, 1<<20)
			in.version = v.version
			b.ReportAllocs()
			for b.Loop() {
				h, err := in.next()
				if err != nil {
					b.Fatal(err)
				}
				if p, err := in.publish(h); err != nil || p.size != len(m.Payload) {
					b.Fatalf("%d bytes, %v", p.size, err)
				}
			}
		})
	}
}

// BenchmarkAppendPublish is what a PUBLISH of 200 bytes to a subscriber costs
// before it is written to the socket.
func BenchmarkAppendPublish(b *testing.B) {
	m := types.Message{Topic: "sensors/room1/t1", Payload: make([]byte, 200)}
	for _, v := range benchVersions {
		b.Run(v.name, func(b *testing.B) {
			var out []byte
			b.ReportAllocs()
			for b.Loop() {
				out = appendPublish(out[:0], &m, 1, 7, false, v.version)
			}
		})
	}
}
