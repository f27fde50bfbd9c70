package memory_test

import (
	"math/rand/v2"
	"testing"

	"github.com/mqttdb/mqttdb/persistence"
	"github.com/mqttdb/mqttdb/persistence/memory"
	"github.com/mqttdb/mqttdb/persistence/storetest"
)

func TestStore(t *testing.T) {
	storetest.Run(t, storetest.Harness{
		New: func(testing.TB) persistence.Store { return memory.New(memory.Options{SegmentSize: 16 << 10}) },
		Kill: func(_ testing.TB, s persistence.Store) persistence.Store {
			return s.(*memory.Store).Kill()
		},
		PowerCut: func(_ testing.TB, s persistence.Store, r *rand.Rand) persistence.Store {
			return s.(*memory.Store).PowerCut(r)
		},
	})
}

func BenchmarkQueue(b *testing.B) {
	storetest.Bench(b, func(testing.TB) persistence.Store { return memory.New(memory.Options{}) })
}
