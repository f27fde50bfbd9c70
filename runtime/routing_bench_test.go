package runtime_test

import (
	"sync"
	"testing"

	"github.com/mqttdb/mqttdb/config"
	"github.com/mqttdb/mqttdb/runtime"
	"github.com/mqttdb/mqttdb/types"
)

// BenchmarkRoute is what a message of a local client costs until its commit in
// memory, alone and in batches.
func BenchmarkRoute(b *testing.B) {
	for _, batch := range []struct {
		name string
		size int
	}{{"single", 1}, {"batch of 20", 20}} {
		b.Run(batch.name, func(b *testing.B) {
			h := newHouse()
			h.broker.Down()
			rt := h.open(b, config.Connection{Name: "cloud", Persist: config.Persist{Outgoing: config.Off}})
			var wg sync.WaitGroup
			messages := make([]runtime.Passage, batch.size)
			for i := range messages {
				messages[i] = runtime.Passage{Message: message("a/b", "payload"), Done: func(error) { wg.Done() }}
			}
			b.ReportAllocs()
			for range b.N / batch.size {
				for left := messages; len(left) > 0; {
					wg.Add(len(left))
					room := make(chan struct{})
					n := rt.RouteAll(left, func() { close(room) })
					wg.Add(n - len(left))
					if left = left[n:]; len(left) > 0 {
						<-room
					}
				}
			}
			wg.Wait()
			b.StopTimer()
			if _, err := rt.Connection("cloud").Clear(b.Context(), types.Selection{}); err != nil {
				b.Fatal(err)
			}
		})
	}
}
