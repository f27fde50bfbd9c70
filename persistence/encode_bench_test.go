package persistence

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/mqttdb/mqttdb/types"
)

func benchBatch(n, topics int) *Batch {
	r := rand.New(rand.NewPCG(1, 1))
	b := &Batch{LSN: 7, Kind: KindBatch, First: 1000, Last: 1000 + types.Seq(n) - 1, Records: make([]Record, n)}
	for i := range b.Records {
		b.Records[i] = Record{Seq: b.First + types.Seq(i), Entry: Entry{
			Message:  types.Message{Topic: fmt.Sprintf("sensors/room-%03d", r.IntN(topics)), Payload: make([]byte, 200), QoS: 1},
			Enqueued: time.UnixMilli(1_700_000_000_000 + int64(i)),
		}}
	}
	return b
}

func BenchmarkEncode(b *testing.B) {
	for _, n := range []int{1, 16, 256, 2048} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			batch := benchBatch(n, 64)
			var e Encoder
			e.Encode(benchBatch(2000, 1500)) // it was used for a large batch before
			b.ReportAllocs()
			size := 0
			for b.Loop() {
				size = len(e.Encode(batch))
			}
			b.SetBytes(int64(size))
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*n), "ns/msg")
		})
	}
}

func BenchmarkDecode(b *testing.B) {
	for _, n := range []int{1, 16, 256, 2048} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			var e Encoder
			encoded := e.Encode(benchBatch(n, 64))
			b.SetBytes(int64(len(encoded)))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := Decode(encoded); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*n), "ns/msg")
		})
	}
}
