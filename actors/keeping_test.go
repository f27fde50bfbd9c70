package actors

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/mqttdb/mqttdb/persistence"
	"github.com/mqttdb/mqttdb/persistence/journal"
	"github.com/mqttdb/mqttdb/persistence/memory"
	"github.com/mqttdb/mqttdb/types"
)

// keeper is a queue that keeps what was sent, with a clock that the test moves.
type keeper struct {
	t     *testing.T
	clock *testClock
	store *testStore
	keep  time.Duration
	queue *Queue
	bell  *bell
	lives int
	sent  map[types.Seq]time.Time
}

func newKeeper(t *testing.T, keep time.Duration) *keeper {
	k := &keeper{t: t, clock: newTestClock(), keep: keep, sent: map[types.Seq]time.Time{}}
	k.store = &testStore{Store: memory.New(memory.Options{SegmentSize: 64 << 10, Journal: journal.Options{Now: k.clock.Now}})}
	k.start()
	return k
}

func (k *keeper) start() {
	k.t.Helper()
	k.lives++
	k.queue, k.bell = startQueue(k.t, newTestSystem(k.t), k.store, func(c *QueueConfig) { c.Clock, c.KeepSent = k.clock, k.keep })
	k.bell.wait(k.t, "the store", func() bool { return !k.queue.Unread() })
}

// die lets the process die, and another one begin.
func (k *keeper) die() {
	k.store = k.store.kill()
	k.start()
}

// ask waits until the queue has dealt with all that it was told.
func (k *keeper) ask() types.QueueStatus {
	k.t.Helper()
	s, err := Ask(soon(k.t), k.queue.Ref, func(r Reply[types.QueueStatus]) QueueMessage { return Describe{r} })
	if err != nil {
		k.t.Fatal(err)
	}
	return s
}

// settle says that these have left, and waits until that is written.
func (k *keeper) settle(why types.Reason, first, last types.Seq) {
	k.t.Helper()
	done := []persistence.Done{{Range: persistence.Range{First: first, Last: last}, Reason: why}}
	if _, err := Ask(soon(k.t), k.queue.Ref, func(r Reply[Noted]) QueueMessage { return Note{Done: done, Reply: r} }); err != nil {
		k.t.Fatal(err)
	}
	for s := first; why == types.Sent && s <= last; s++ {
		k.sent[s] = k.clock.Now()
	}
}

// send stores n messages and has them sent.
func (k *keeper) send(n int) {
	k.t.Helper()
	var list []persistence.Entry
	for range n {
		list = append(list, entry("t", fmt.Sprint(len(k.sent)+len(list))))
	}
	first, err := k.queue.Put(soon(k.t), list)
	if err != nil {
		k.t.Fatal(err)
	}
	k.settle(types.Sent, first, first+types.Seq(n-1))
}

func (k *keeper) kept() []persistence.Record {
	k.t.Helper()
	f, err := Ask(soon(k.t), k.queue.Ref, func(r Reply[Fetched]) QueueMessage { return Fetch{Sent: true, Reply: r} })
	if err != nil {
		k.t.Fatal(err)
	}
	return f.Records
}

func (k *keeper) replay(m Replay) Replayed {
	k.t.Helper()
	got, err := Ask(soon(k.t), k.queue.Ref, func(r Reply[Replayed]) QueueMessage { m.Reply = r; return m })
	if err != nil {
		k.t.Fatal(err)
	}
	return got
}

// What was sent is kept for as long as it is to be, and not much longer, also over
// the death of the process, and while nothing else is sent. Since tells it apart as
// well.
func TestWhatWasSentIsKept(t *testing.T) {
	for _, keep := range []time.Duration{time.Hour, 20 * time.Second} {
		t.Run(keep.String(), func(t *testing.T) {
			k := newKeeper(t, keep)
			r := rand.New(rand.NewPCG(5, uint64(keep)))
			late := keep/stepShare*3 + 2*time.Second
			check := func(when string) {
				t.Helper()
				k.ask()
				now, kept := k.clock.Now(), map[types.Seq]bool{}
				for _, m := range k.kept() {
					kept[m.Seq] = true
					if age := now.Sub(k.sent[m.Seq]); age > keep+late {
						t.Fatalf("%s: message %d was sent %v ago, and is kept", when, m.Seq, age)
					}
				}
				within := time.Duration(r.Int64N(int64(keep)))
				found := k.replay(Replay{Since: within, Count: true}).Count
				least, most, slack := uint64(0), uint64(0), within/stepShare+stepEvery
				if k.lives > 1 { // what was sent last before a death counts as sent when that is next looked at
					slack += min(keep/stepShare, time.Minute)
				}
				for seq, at := range k.sent {
					age := now.Sub(at)
					if age < keep && !kept[seq] {
						t.Fatalf("%s: message %d was sent %v ago, and is not kept", when, seq, age)
					}
					if age < within {
						least++
					}
					if age <= within+slack && kept[seq] {
						most++
					}
				}
				if found < least || found > most {
					t.Fatalf("%s: %d messages were sent within %v, want %d to %d", when, found, within, least, most)
				}
				if st := k.queue.State(); st.Kept != uint64(len(kept)) {
					t.Fatalf("%s: the state says that %d are kept, %d are", when, st.Kept, len(kept))
				}
			}
			for i := range 150 {
				if r.IntN(6) > 0 {
					k.send(1 + r.IntN(4))
				}
				for range 4 {
					k.clock.advance(time.Duration(r.Int64N(int64(keep / 100))))
					k.ask() // what the timers bring
				}
				if r.IntN(12) == 0 {
					k.die()
				}
				check(fmt.Sprint("step ", i))
			}
			for range 60 {
				k.clock.advance(keep / 20)
				k.ask()
			}
			check("at last")
			if len(k.kept()) > 0 || len(k.marks()) > 0 {
				t.Errorf("when all has lapsed there are %d messages and marks %v", len(k.kept()), k.marks())
			}
		})
	}
}

// marks are the steps that are stored.
func (k *keeper) marks() []string {
	m, err := Ask(soon(k.t), k.queue.Ref, func(r Reply[Marks]) QueueMessage { return ReadMarks{Prefix: markSent, Reply: r} })
	if err != nil {
		k.t.Fatal(err)
	}
	var keys []string
	for _, mark := range m.List {
		keys = append(keys, mark.Key)
	}
	return keys
}

// Only what was sent is kept; nothing is where nobody asks for it, and what was kept
// goes when nobody does any more.
func TestOnlyWhatWasSentIsKept(t *testing.T) {
	k := newKeeper(t, time.Hour)
	mustPut(t, k.queue, "t", 10)
	for why := range types.Reason(types.Reasons) {
		k.settle(why, types.Seq(why)+1, types.Seq(why)+1)
	}
	if got := k.kept(); len(got) != 1 || got[0].Seq != 1 {
		t.Errorf("%v are kept, want message 1", got)
	}
	if st := k.ask(); st.Kept != 1 || st.Pending != 4 {
		t.Errorf("%d are kept, %d pending", st.Kept, st.Pending)
	}
	k.queue.Tell(Configure{})
	k.ask()
	k.clock.advance(time.Second)
	if st := k.ask(); st.Kept != 0 {
		t.Errorf("%d are kept though nobody asks for it any more", st.Kept)
	}
	k.settle(types.Sent, 7, 10)
	k.queue.Tell(Configure{KeepSent: time.Minute})
	k.send(3)
	if st := k.ask(); st.Kept != 3 {
		t.Errorf("%d are kept, want 3", st.Kept)
	}
	k.keep = 0
	k.die()
	k.clock.advance(time.Second)
	if st := k.ask(); st.Kept != 0 || len(k.marks()) > 0 {
		t.Errorf("%d are kept by a process that keeps nothing, and %v", st.Kept, k.marks())
	}
}

// What is kept can be cleared, and nothing else is by that.
func TestClearOfWhatWasSent(t *testing.T) {
	k := newKeeper(t, time.Hour)
	mustPut(t, k.queue, "a", 4)
	mustPut(t, k.queue, "b", 4)
	k.settle(types.Dead, 8, 8)
	k.settle(types.Sent, 1, 6)
	clear := func(c Clear) uint64 {
		n, err := Ask(soon(t), k.queue.Ref, func(r Reply[Cleared]) QueueMessage { c.Sent, c.Reply = true, r; return c })
		if err != nil {
			t.Fatal(err)
		}
		return n.Count
	}
	if n := clear(Clear{Filter: "b"}); n != 2 {
		t.Errorf("cleared %d, want 2", n)
	}
	if n := clear(Clear{Seq: 3}); n != 1 {
		t.Errorf("cleared %d, want 1", n)
	}
	if n := clear(Clear{}); n != 3 {
		t.Errorf("cleared %d, want 3", n)
	}
	if st := k.ask(); st.Kept != 0 || st.Pending != 1 || st.DeadPending != 1 || st.Sent != 6 || st.Cleared != 0 {
		t.Errorf("%+v", st)
	}
}

// However long it goes on, there are few steps.
func TestSentSteps(t *testing.T) {
	var l sentSteps
	stored := map[string]bool{}
	floor := types.Seq(0)
	for at := time.Duration(0); at < 5*24*time.Hour; at += stepEvery {
		floor += 7
		for _, m := range l.add(sentStep{at, floor}) {
			stored[m.Key] = len(m.Value) > 0
			if len(m.Value) == 0 {
				delete(stored, m.Key)
			}
		}
		if len(l) > 600 || len(stored) != len(l) {
			t.Fatalf("after %v there are %d steps, %d stored", at, len(l), len(stored))
		}
		if at%(90*time.Minute) > 0 {
			continue
		}
		for _, s := range l {
			if want := types.Seq(s.at/stepEvery+1) * 7; s.floor != want || !stored[s.key()] {
				t.Fatalf("the step at %v has %d, want %d", s.at, s.floor, want)
			}
		}
		for ago := time.Second; ago < at; ago *= 2 {
			got, want := l.before(at-ago), types.Seq((at-ago)/stepEvery+1)*7
			if least := want - min(want, types.Seq(ago/stepShare/stepEvery+2)*7); got > want || got < least {
				t.Fatalf("at %v: %d had left %v ago, want %d to %d", at, got, ago, least, want)
			}
		}
	}
	for _, m := range l.drop(floor) {
		delete(stored, m.Key)
	}
	if len(l) > 0 || len(stored) > 0 {
		t.Errorf("%d steps are left, %d stored", len(l), len(stored))
	}
}

// What is kept counts for the limits, and gives way at them, the oldest first: no
// message is refused or dropped on its account. A replay pushes out nothing that is
// pending.
func TestWhatIsKeptGivesWay(t *testing.T) {
	for _, overflow := range []Overflow{Reject, DropOldest, DropNewest} {
		for _, limits := range []Limits{{MaxMessages: 100, Overflow: overflow}, {MaxBytes: 20_000, Overflow: overflow}} {
			t.Run(fmt.Sprintf("%+v", limits), func(t *testing.T) {
				k := newKeeper(t, time.Hour)
				k.queue.Tell(Configure{KeepSent: time.Hour, Limits: limits})
				within := func(when string) persistence.State {
					t.Helper()
					k.ask()
					s := k.queue.State()
					if n := s.Pending() + s.Kept; limits.MaxMessages > 0 && n > uint64(limits.MaxMessages) {
						t.Fatalf("%s: %d messages are pending or kept", when, n)
					}
					if n := s.Bytes + s.KeptBytes; limits.MaxBytes > 0 && n > uint64(limits.MaxBytes)*11/10 {
						t.Fatalf("%s: %d bytes are pending or kept", when, n)
					}
					return s
				}
				for i := range 60 {
					k.send(7)
					s := within(fmt.Sprint("round ", i))
					for r := range s.Sent.All() {
						if r.Last != s.Next-1 { // one run, up to the newest
							t.Fatalf("round %d: %v is kept, the newest is %d", i, r, s.Next-1)
						}
					}
				}
				before := within("sent").Kept
				if before < 50 {
					t.Fatalf("only %d are kept", before)
				}
				mustPut(t, k.queue, "t", 40)
				s := within("40 are pending")
				if s.Pending() != 40 || s.Kept < 30 || s.Kept > before {
					t.Errorf("%d are pending, %d kept, of %d", s.Pending(), s.Kept, before)
				}
				half := k.kept()[s.Kept/2].Seq
				if got := k.replay(Replay{From: half}); got.Count != s.Kept-s.Kept/2 {
					t.Errorf("%+v were replayed, of %d", got, s.Kept)
				}
				if s := within("replayed"); s.Counters.Left[types.Dropped] > 0 || s.Pending() < 40+s.Kept {
					t.Errorf("%d are pending, %d were dropped", s.Pending(), s.Counters.Left[types.Dropped])
				}
			})
		}
	}
}

// Where the disk has no room what is kept is the first to go.
func TestWhatIsKeptGoesOnAFullDisk(t *testing.T) {
	k := newKeeper(t, time.Hour)
	k.send(50)
	k.store.set(func(s *testStore) {
		s.onWrit = func(c persistence.Commit) error {
			if len(c.Messages) > 0 {
				return fmt.Errorf("no room: %w", types.ErrDiskFull)
			}
			return nil
		}
	})
	if _, err := put(t.Context(), k.queue, entry("t", "x")); err == nil {
		t.Error("a message is taken")
	}
	k.bell.wait(t, "what is kept to go", func() bool { return k.queue.State().Kept == 0 })
}
