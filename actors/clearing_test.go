package actors

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/mqttdb/mqttdb/persistence"
	"github.com/mqttdb/mqttdb/types"
)

// What Clear has counted does not come back in a power cut, whatever the policy.
func TestClearIsDurable(t *testing.T) {
	for _, test := range []struct {
		name  string
		clear Clear
		left  uint64
		dead  uint64
	}{
		{"all", Clear{}, 0, 3},
		{"by topic", Clear{Filter: "a"}, 20, 3},
		{"dead letters", Clear{Dead: true}, 77, 0},
		{"one", Clear{Seq: 50}, 76, 3},
	} {
		t.Run(test.name, func(t *testing.T) {
			for seed := range uint64(12) {
				s := newTestStore()
				sys := newTestSystem(t)
				q, _ := startQueue(t, sys, s, func(c *QueueConfig) { c.SyncWithin = -1 })
				mustPut(t, q, "a", 60)
				mustPut(t, q, "b", 20)
				note := func(n Note) {
					n.Sync = true
					if _, err := Ask(t.Context(), q.Ref, func(r Reply[Noted]) QueueMessage { n.Reply = r; return n }); err != nil {
						t.Fatal(err)
					}
				}
				note(Note{Done: []persistence.Done{{Range: persistence.Range{First: 1, Last: 3}, Reason: types.Dead, Cause: "no"}}})
				c, err := Ask(t.Context(), q.Ref, func(r Reply[Cleared]) QueueMessage { m := test.clear; m.Reply = r; return m })
				if want := 77 - test.left + 3 - test.dead; err != nil || c.Count != want {
					t.Fatalf("cleared %d, %v; want %d", c.Count, err, want)
				}
				after := &testStore{Store: s.PowerCut(rand.New(rand.NewPCG(seed, 4)))}
				again, b := startQueue(t, sys, after, func(c *QueueConfig) { c.Name = fmt.Sprint("again", seed) })
				b.wait(t, "the store", func() bool { return !again.Unread() })
				if st := again.Status(); st.Pending != test.left || st.DeadPending != test.dead {
					t.Errorf("seed %d: after a power cut %d are pending and %d dead, want %d and %d", seed, st.Pending, st.DeadPending, test.left, test.dead)
				}
			}
		})
	}
}

// The sum of what Clear returns is what the books say, while several publish,
// messages are in flight, and others clear at the same time.
func TestClearCountsWhatHasLeft(t *testing.T) {
	h := newHouse(t, func(q *QueueConfig, c *ConnectionConfig) { c.Window = 7; q.SyncWithin = time.Millisecond })
	h.broker.Delay(100 * time.Microsecond)
	const publishers, each = 3, 600
	var publishing sync.WaitGroup
	var sum atomic.Uint64
	for p := range publishers {
		publishing.Go(func() {
			for i := 0; i < each; i += 5 {
				var list []persistence.Entry
				for j := range 5 {
					list = append(list, entry([]string{"a", "b"}[j%2], fmt.Sprint(p, "/", i+j)))
				}
				if _, err := h.queue.Put(t.Context(), list); err != nil {
					t.Error(err)
				}
				if i%(100+10*p) == 95 {
					sum.Add(clearQueue(t, h.queue, []string{"", "a", "b"}[p], time.Time{}))
				}
			}
		})
	}
	publishing.Wait()
	h.drained(t)
	count, order := h.published()
	st := h.queue.Status()
	counted := sum.Load()
	t.Logf("%d cleared, %d sent", counted, st.Sent)
	if st.Cleared != counted || st.Sent != publishers*each-counted || uint64(len(order)) != st.Sent || len(count) != len(order) {
		t.Errorf("Clear counted %d, the books say cleared %d, sent %d of %d; %d arrived", counted, st.Cleared, st.Sent, publishers*each, len(order))
	}
	if counted == 0 || st.Sent == 0 {
		t.Error("nothing was cleared, or nothing sent: the test shows nothing")
	}
}
