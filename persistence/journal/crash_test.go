package journal_test

import (
	"maps"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/mqttdb/mqttdb/persistence"
	"github.com/mqttdb/mqttdb/types"
)

// TestCrashAtEveryCall runs one history again and again and stops it at every
// call of the medium, so also within Compact: between the writing of a batch and
// the sync, the forgetting and the dropping that follow it. Then the process
// dies, or the power fails.
func TestCrashAtEveryCall(t *testing.T) {
	for seed := range uint64(12) {
		for stop := 1; ; stop++ {
			h := &stoppedHistory{place: newPlace(t, 2<<10, false), r: rand.New(rand.NewPCG(seed, 9)), next: 1,
				now: map[types.Seq]bool{}, synced: map[types.Seq]bool{}, sent: map[types.Seq]bool{}}
			h.stopAt = h.calls + stop
			stopped := h.run()
			if !h.check(seed, stop) {
				return
			}
			if !stopped {
				break
			}
		}
	}
}

type stoppedHistory struct {
	*place
	r    *rand.Rand
	next types.Seq

	now    map[types.Seq]bool // pending
	before map[types.Seq]bool // the last Write
	synced map[types.Seq]bool // pending at the last sync
	ended  types.Seq          // next at the last sync

	sent, sentBefore map[types.Seq]bool // kept, and before the last Write
}

// run runs to the end, or until something fails.
func (h *stoppedHistory) run() (stopped bool) {
	for range 30 {
		h.before = maps.Clone(h.now)
		switch h.r.IntN(5) {
		case 0:
			next := h.next
			if err := h.q.Sync(h.t.Context()); err != nil {
				return true
			}
			h.synced, h.ended = maps.Clone(h.now), next
		case 1:
			if _, err := h.q.(persistence.Compacter).Compact(h.t.Context(), 1<<10); err != nil {
				return true
			}
		default:
			c := persistence.Commit{Messages: messages(h.r.IntN(4), 60)}
			if h.next > 1 && h.r.IntN(2) == 0 {
				first := 1 + types.Seq(h.r.Uint64N(uint64(h.next)))
				c.Done = []persistence.Done{{Range: persistence.Range{First: first, Last: first + types.Seq(h.r.IntN(8))}, Keep: h.r.IntN(3) > 0}}
			}
			if len(h.sent) > 0 && h.r.IntN(5) == 0 {
				first := slices.Min(slices.Collect(maps.Keys(h.sent)))
				c.Lapsed.Add(persistence.Range{First: first, Last: first + types.Seq(h.r.IntN(5))})
			}
			h.sentBefore = maps.Clone(h.sent)
			for range c.Messages {
				h.now[h.next] = true
				h.next++
			}
			for _, d := range c.Done {
				for s := d.Range.First; s <= d.Range.Last; s++ {
					if d.Keep && h.now[s] {
						h.sent[s] = true
					}
					delete(h.now, s)
				}
			}
			for _, l := range c.Lapsed {
				for s := l.First; s <= l.Last; s++ {
					delete(h.sent, s)
				}
			}
			if _, err := h.q.Write(h.t.Context(), c); err != nil {
				return true
			}
		}
	}
	return false
}

func (h *stoppedHistory) check(seed uint64, stop int) bool {
	h.t.Helper()
	cut := h.r.IntN(2) == 0
	if cut {
		h.store = h.store.PowerCut(h.r)
	} else {
		h.kill()
	}
	h.open()
	got := map[types.Seq]bool{}
	for _, s := range h.seqs() {
		got[s] = true
	}
	kept := map[types.Seq]bool{}
	sent, err := h.q.(persistence.SentReader).ReadSent(h.t.Context(), nil, 0, persistence.Limit{})
	if err != nil {
		h.t.Error(err)
	}
	for _, r := range sent {
		kept[r.Seq] = true
	}
	st := h.q.State()
	sum := st.Pending()
	for _, n := range st.Counters.Left {
		sum += n
	}
	switch {
	case !cut && !maps.Equal(got, h.now) && !maps.Equal(got, h.before):
		h.t.Errorf("seed %d, stopped at %d and killed: %d messages, want %d or %d", seed, stop, len(got), len(h.now), len(h.before))
	case !cut && !maps.Equal(kept, h.sent) && !maps.Equal(kept, h.sentBefore):
		h.t.Errorf("seed %d, stopped at %d and killed: %d messages are kept, want %d or %d", seed, stop, len(kept), len(h.sent), len(h.sentBefore))
	case st.Kept != uint64(len(kept)):
		h.t.Errorf("seed %d, stopped at %d: %d messages are kept, %d can be read", seed, stop, st.Kept, len(kept))
	case !cut && st.Counters.Left[types.Quarantined] > 0:
		h.t.Errorf("seed %d, stopped at %d and killed: %d messages quarantined", seed, stop, st.Counters.Left[types.Quarantined])
	case st.DuplicatesPossible:
		h.t.Errorf("seed %d, stopped at %d: claims damage", seed, stop)
	case st.Counters.Accepted != sum || st.Pending() != uint64(len(got)) || st.Next < h.ended:
		h.t.Errorf("seed %d, stopped at %d: the books are wrong, %d can be read: %+v", seed, stop, len(got), st)
	}
	for s := range h.synced {
		if h.now[s] && h.before[s] && !got[s] {
			h.t.Errorf("seed %d, stopped at %d: message %d was synced and is lost", seed, stop, s)
		}
	}
	for s := range got {
		if s < h.ended && !h.synced[s] {
			h.t.Errorf("seed %d, stopped at %d: message %d was done and synced, and is back", seed, stop, s)
		}
		if s >= h.next {
			h.t.Errorf("seed %d, stopped at %d: message %d was never written", seed, stop, s)
		}
	}
	h.close()
	return !h.t.Failed()
}
