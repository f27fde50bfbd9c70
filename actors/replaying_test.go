package actors

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/mqttdb/mqttdb/persistence"
	"github.com/mqttdb/mqttdb/types"
)

// pending are the payloads that are, in order.
func (k *keeper) pending() []string {
	k.t.Helper()
	var list []string
	for _, r := range fetchAll(k.t, k.queue, 0).Records {
		list = append(list, string(r.Message.Payload))
	}
	return list
}

// What a replay puts back: new messages behind all others, with the time at which
// they were first accepted.
func TestReplay(t *testing.T) {
	for _, test := range []struct {
		name     string
		replay   Replay
		want     []string
		left     uint64
		retained bool
	}{
		{"all", Replay{}, []string{"a0", "b1", "a2", "b3"}, 1, false},
		{"also what was before", Replay{Again: true}, []string{"a0", "b1", "a2", "b3", "a4"}, 0, false},
		{"by topic", Replay{Filter: "b/#"}, []string{"b1", "b3"}, 0, false},
		{"from a number", Replay{From: 3}, []string{"a2", "b3"}, 1, false},
		{"of the last minutes", Replay{Since: 5 * time.Minute}, []string{"b3"}, 1, false},
		{"with retain flags", Replay{Retain: true, Filter: "a/#"}, []string{"a0", "a2"}, 1, true},
		{"nothing", Replay{From: 1000}, nil, 0, false},
		{"only counted", Replay{Count: true}, nil, 1, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			k := newKeeper(t, time.Hour)
			start := k.clock.Now()
			for i := range 5 {
				e := entry([]string{"a/x", "b/x"}[i%2], fmt.Sprint([]string{"a", "b"}[i%2], i))
				e.Enqueued, e.Message.Retain, e.Enveloped = start.Add(-time.Duration(i)*time.Minute), true, i == 2
				if i == 4 {
					e.Original = start.Add(-time.Hour)
				}
				first, err := k.queue.Put(soon(t), []persistence.Entry{e})
				if err != nil {
					t.Fatal(err)
				}
				k.settle(types.Sent, first, first)
				k.clock.advance([]time.Duration{10 * time.Minute, time.Second, 10 * time.Minute, 0, 0}[i])
				k.ask()
			}
			mustPut(t, k.queue, "waiting", 1)
			got := k.replay(test.replay)
			count := uint64(len(test.want))
			if test.replay.Count {
				count = 4
			}
			if got.Count != count || got.Left != test.left {
				t.Errorf("%+v, want %d and %d left out", got, count, test.left)
			}
			if list := k.pending(); !slices.Equal(list, append([]string{"0"}, test.want...)) {
				t.Errorf("pending are %q, want %q", list, test.want)
			}
			st := k.ask()
			if n := uint64(len(test.want)); st.Kept != 5-n || st.Sent != 5 || st.Accepted != 6+n || st.Pending != 1+n {
				t.Errorf("%+v", st)
			}
			for _, r := range fetchAll(t, k.queue, 6).Records {
				i := slices.Index([]string{"a0", "b1", "a2", "b3", "a4"}, string(r.Message.Payload))
				want := start.Add(-time.Duration(i) * time.Minute)
				if i == 4 {
					want = start.Add(-time.Hour)
				}
				if !r.Original.Equal(want) || !r.Enqueued.Equal(k.clock.Now()) || r.Message.Retain != test.retained || r.Enveloped != (i == 2) {
					t.Errorf("%q came back as %+v", r.Message.Payload, r.Entry)
				}
			}
		})
	}
}

// A replay dies at every commit, of which is not known what became of it, and is
// repeated: each message is put back once, whether what was put back before is still
// pending or has been sent again in the meantime.
func TestReplayIsInterrupted(t *testing.T) {
	const n = 3000
	for _, again := range []bool{false, true} {
		for stop := 1; ; stop++ {
			k := newKeeper(t, time.Hour)
			list := make([]persistence.Entry, n)
			for i := range list {
				list[i] = entry("t", fmt.Sprintf("%0200d", i))
			}
			if _, err := k.queue.Put(soon(t), list); err != nil {
				t.Fatal(err)
			}
			k.settle(types.Sent, 1, n)
			broken, writes := errors.New("broken"), 0
			k.store.set(func(s *testStore) {
				s.onWrit = func(persistence.Commit) error {
					s.mu.Lock()
					defer s.mu.Unlock()
					if writes++; writes == stop {
						s.onWrit = func(persistence.Commit) error { return broken }
						if stop%2 == 0 { // it is stored, and nobody knows
							s.onWrit = nil
							return nil
						}
						return broken
					}
					return nil
				}
				if stop%2 == 0 {
					s.onSync = func() error {
						s.mu.Lock()
						defer s.mu.Unlock()
						if writes >= stop {
							return broken
						}
						return nil
					}
				}
			})
			_, err := Ask(soon(t), k.queue.Ref, func(r Reply[Replayed]) QueueMessage { return Replay{Reply: r} })
			k.die()
			if err == nil {
				if stop < 4 {
					t.Fatalf("a replay has %d commits: the test shows nothing", stop)
				}
				break
			}
			back := k.pending()
			if len(back)+int(k.ask().Kept) != n {
				t.Fatalf("stopped at %d: %d are pending, and %d kept", stop, len(back), k.ask().Kept)
			}
			if again && len(back) > 0 {
				k.settle(types.Sent, n+1, n+types.Seq(len(back)))
			}
			got := k.replay(Replay{})
			if want := uint64(len(back)); got.Count != n-want || again && got.Left != want {
				t.Errorf("stopped at %d: %+v the second time, of %d, %d the first time", stop, got, n, len(back))
			}
			count := map[string]int{}
			for _, p := range k.pending() {
				count[p]++
			}
			if again {
				for _, p := range back {
					count[p]++
				}
			}
			for _, e := range list {
				if c := count[string(e.Message.Payload)]; c != 1 {
					t.Fatalf("stopped at %d: %s was put back %d times", stop, e.Message.Payload, c)
				}
			}
		}
	}
}

// All the way: what the broker got it gets again, in order, while others publish;
// what was replayed is kept as well.
func TestReplayIsSent(t *testing.T) {
	h := newHouse(t, func(q *QueueConfig, c *ConnectionConfig) { q.KeepSent, c.Window = time.Hour, 10 })
	const n = 500
	for i := range n {
		if _, err := h.queue.Put(t.Context(), []persistence.Entry{entry("t", fmt.Sprint(i))}); err != nil {
			t.Fatal(err)
		}
	}
	h.drained(t)
	replay := func(m Replay) (Replayed, error) {
		return Ask(soon(t), h.queue.Ref, func(r Reply[Replayed]) QueueMessage { m.Reply = r; return m })
	}
	others := make(chan error)
	go func() {
		_, err := h.queue.Put(t.Context(), []persistence.Entry{entry("other", "x"), entry("other", "y")})
		others <- err
	}()
	got, err := replay(Replay{})
	if err != nil || got.Count < n || got.Left > 0 {
		t.Fatalf("%+v, %v", got, err)
	}
	if err := <-others; err != nil {
		t.Fatal(err)
	}
	h.drained(t)
	if got, err := replay(Replay{Filter: "t"}); got.Count != 0 || got.Left != n || err != nil {
		t.Errorf("a second time %+v, %v", got, err)
	}
	var twice []string
	for _, m := range h.broker.Published() {
		if m.Topic == "t" {
			twice = append(twice, string(m.Payload))
		}
	}
	for i := range 2 * n {
		if len(twice) != 2*n || twice[i] != fmt.Sprint(i%n) {
			t.Fatalf("%d arrived, number %d is %s", len(twice), i, twice[i])
		}
	}
	st := h.queue.Status()
	if st.Accepted != st.Sent || st.Kept != n+2 {
		t.Errorf("accepted %d, sent %d, kept %d", st.Accepted, st.Sent, st.Kept)
	}
	if used := h.queue.Admission().Used(); used != (Cost{}) {
		t.Errorf("%+v leaked", used)
	}
}

// What has just been sent is replayed, and shown, as well.
func TestReplayOfWhatIsNotWrittenYet(t *testing.T) {
	k := newKeeper(t, time.Hour)
	mustPut(t, k.queue, "t", 10)
	for i := range types.Seq(10) {
		k.queue.Tell(Settle{Done: []persistence.Done{{Range: persistence.Range{First: i + 1, Last: i + 1}}}})
		if i == 4 && len(k.kept()) != 5 {
			t.Errorf("%d are kept, want 5", len(k.kept()))
		}
	}
	if got := k.replay(Replay{}); got.Count != 10 {
		t.Errorf("%d were replayed, want 10", got.Count)
	}
}
