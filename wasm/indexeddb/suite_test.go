//go:build js

package indexeddb

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/mqttdb/mqttdb/persistence"
	"github.com/mqttdb/mqttdb/persistence/storetest"
)

// newStore makes an empty store, whose databases are deleted when the test ends.
func newStore(t testing.TB, o Options) *Store {
	t.Helper()
	o.Reserve = 64 << 10
	o.Prefix = fmt.Sprintf("test-%x", rand.Uint64())
	s := Open(o)
	t.Cleanup(func() {
		s.cutOff()
		names, err := databases()
		if err != nil {
			t.Error(err)
		}
		for _, name := range names {
			if strings.HasPrefix(name, o.Prefix+"/") {
				if err := deleteDatabase(name); err != nil {
					t.Error(err)
				}
			}
		}
	})
	return s
}

// cutOff takes the databases away from the queues that are open, as the end of the Worker does.
func (s *Store) cutOff() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for name, src := range s.open {
		_ = src.Release()
		delete(s.open, name)
		delete(s.queues, name)
	}
}

// kill returns a store of the same databases.
func kill(t testing.TB, killed persistence.Store) persistence.Store {
	s := killed.(*Store)
	s.cutOff()
	next := Open(s.o)
	t.Cleanup(next.cutOff)
	return next
}

func TestSuite(t *testing.T) {
	for _, lazy := range []bool{false, true} {
		t.Run(fmt.Sprintf("lazy %t", lazy), func(t *testing.T) {
			const segment = 256 << 10
			storetest.Run(t, storetest.Harness{
				New: func(t testing.TB) persistence.Store {
					return newStore(t, Options{SegmentSize: segment, Lazy: func(string) bool { return lazy }})
				},
				Kill:        kill,
				Break:       func(_ testing.TB, s persistence.Store) { s.(*Store).cutOff() },
				Lazy:        lazy,
				Histories:   2,
				SegmentSize: segment,
			})
		})
	}
}
