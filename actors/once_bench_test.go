package actors

import (
	"fmt"
	"testing"
	"time"

	"github.com/mqttdb/mqttdb/persistence"
	"github.com/mqttdb/mqttdb/types"
)

// BenchmarkExchanges is what a message of a local QoS 2 publisher costs, with the end
// of its exchange, in commits of 20 beside so many exchanges of 100 clients that stay
// open; on the journal in memory. It must not grow with their number.
func BenchmarkExchanges(b *testing.B) {
	const clients, batch = 100, 20
	for _, open := range []int{0, 1000, 10_000, 30_000} {
		b.Run(fmt.Sprintf("open=%d", open), func(b *testing.B) {
			q, _ := startQueue(b, newTestSystem(b), newTestStore(), nil)
			publish := func(id, n int) (closed []types.Origin) {
				once, entries := make([]types.Once, n), make([]persistence.Entry, n)
				for i := range n {
					entries[i] = from(fmt.Sprint(publishedBy, "client-", i%clients), uint64(id+i/clients), string(make([]byte, 200)))
					entries[i].Enqueued = entries[i].Enqueued.Add(time.Duration(id) * time.Second)
					once[i] = types.Once{Rule: types.Open, Hash: uint64(i)}
					closed = append(closed, entries[i].Origin)
				}
				if a := receive(b, tellOnce(b, q, once, entries...), "the commit"); a.err != nil {
					b.Fatal(a.err)
				}
				return closed
			}
			for n := 0; n < open; n += 10 * clients {
				publish(1+n/clients, 10*clients)
			}
			written := q.State().BytesWritten
			b.ReportAllocs()
			b.ResetTimer()
			for range b.N / batch {
				noteThat(b, q, Note{Closed: publish(60_000, batch)})
			}
			b.StopTimer()
			b.ReportMetric(float64(q.State().BytesWritten-written)/float64(b.N), "B-written/msg")
		})
	}
}
