package journal_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/mqttdb/mqttdb/persistence"
	"github.com/mqttdb/mqttdb/persistence/journal"
	"github.com/mqttdb/mqttdb/types"
)

func isState(b *persistence.Batch) bool { return b.Kind == persistence.KindState }

// What the next start says after each kind of end (S2.3): whether numbers are
// left out, whether messages may be delivered twice, and what was lost.
func TestEnds(t *testing.T) {
	const leap = 1 << 21
	for _, c := range []struct {
		name        string
		lazy        bool
		end         func(p *place)
		jump        types.Seq
		duplicates  bool
		quarantined uint64
		pending     int
	}{
		{name: "closed", end: func(p *place) { p.close() }, pending: 40},
		{name: "killed", end: func(*place) {}, pending: 40},
		{name: "closed, not synced one by one", lazy: true, end: func(p *place) { p.close() }, pending: 40},
		{name: "killed, not synced one by one", lazy: true, end: func(*place) {}, jump: 65536, pending: 40},
		{name: "the first batch is lost", end: func(p *place) {
			p.close()
			p.store.Tamper(name).FlipSeen(p.find(func(b *persistence.Batch) bool { return b.First == 11 })[0], 1000)
		}, pending: 39, quarantined: 1},
		{name: "the newest batch is lost", end: func(p *place) {
			p.kill()
			all := p.find(func(b *persistence.Batch) bool { return b.First != 0 })
			p.store.Tamper(name).FlipSeen(all[len(all)-1], 1000)
		}, pending: 39, quarantined: 1, duplicates: true, jump: leap},
		{name: "the only acknowledgement is lost", end: func(p *place) {
			p.kill()
			p.store.Tamper(name).FlipHidden(p.find(func(b *persistence.Batch) bool { return b.Delta != nil && !isState(b) })[0], 1000)
		}, pending: 50, duplicates: true, jump: leap},
		{name: "the newest state is lost", end: func(p *place) {
			p.kill()
			states := p.find(isState)
			p.store.Tamper(name).FlipHidden(states[len(states)-1], 1000)
		}, pending: 40, duplicates: true, jump: leap},
		{name: "the state of the close is lost", end: func(p *place) {
			p.close()
			states := p.find(isState)
			p.store.Tamper(name).FlipSeen(states[len(states)-1], 1000)
		}, pending: 40, duplicates: true, jump: leap},
		{name: "all states are lost", end: func(p *place) {
			p.kill()
			for _, i := range p.find(isState) {
				p.store.Tamper(name).FlipSeen(i, 1000)
			}
		}, pending: 40, duplicates: true, jump: leap},
		{name: "the record is lost", end: func(p *place) {
			p.close()
			p.store.Tamper(name).SetRecord(nil)
		}, pending: 40},
		{name: "everything is lost", end: func(p *place) {
			p.close()
			for _, id := range p.store.Tamper(name).Segments() {
				p.store.Tamper(name).LoseSegment(id)
			}
		}, jump: leap - 50, duplicates: false},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := newPlace(t, 64<<10, c.lazy)
			p.fill(50, 20)
			p.done(1, 10)
			p.sync()
			id := p.q.State().StoreID
			c.end(p)
			p.kill()
			p.open()
			pending := len(p.seqs())
			st := p.q.State()
			if st.Next != 51+c.jump || pending != c.pending || st.Counters.Left[types.Quarantined] != c.quarantined || st.StoreID != id {
				t.Errorf("next is 51%+d, want %+d; %d pending, want %d; %d quarantined, want %d",
					int64(st.Next)-51, c.jump, pending, c.pending, st.Counters.Left[types.Quarantined], c.quarantined)
			}
			// The flag stays over restarts until what was pending is done.
			for _, when := range []string{"at first", "after a kill", "after a close"} {
				if got := p.q.State().DuplicatesPossible; got != c.duplicates {
					t.Errorf("%s duplicates possible is %t", when, got)
				}
				if when == "after a kill" {
					p.close()
				}
				p.kill()
				p.open()
			}
			p.fill(1, 10)
			last := p.q.State().Next - 1
			for _, seq := range p.seqs() {
				if seq != last {
					p.done(seq, seq)
				}
			}
			if p.q.State().DuplicatesPossible {
				t.Error("duplicates are possible for ever")
			}
			p.close()
		})
	}
}

// A segment that is gone may have held any number of messages, and the jump of
// an earlier recovery: neither numbers nor keys may come again.
func TestNothingIsNumberedTwice(t *testing.T) {
	p := newPlace(t, 1<<20, false)
	numbers, keys := map[types.Seq]bool{}, map[uint64]bool{}
	for round := range 4 {
		for range 4 {
			first := p.write(persistence.Commit{Messages: messages(30_000, 0)})
			for i := range types.Seq(30_000) {
				if numbers[first+i] {
					t.Fatalf("round %d: number %d again", round, first+i)
				}
				numbers[first+i] = true
			}
		}
		p.sync()
		p.kill()
		tamper := p.store.Tamper(name)
		segments := tamper.Segments()
		newest := segments[len(segments)-1]
		if round%2 == 1 { // this life has left nothing, and the one before neither
			newest = segments[max(0, len(segments)-2)]
		}
		for i, e := range tamper.Entries() {
			if b, err := persistence.Decode(e.Value); err == nil && b.LSN == e.Key && e.Segment >= newest && keys[e.Key] {
				t.Fatalf("round %d: key %d of entry %d again", round, e.Key, i)
			}
			if e.Segment >= newest {
				keys[e.Key] = true
			}
		}
		for _, id := range segments {
			if id >= newest {
				tamper.LoseSegment(id)
			}
		}
		p.open()
	}
	p.close()
}

// What a recovery found out is in two entries: one of them suffices (S7.1).
func TestJumpSurvivesTheLossOfItsState(t *testing.T) {
	for _, lose := range []string{"the state", "the delta"} {
		t.Run(lose, func(t *testing.T) {
			p := newPlace(t, 64<<10, true)
			p.fill(10, 20)
			p.kill()
			p.open() // jumps
			p.fill(5, 20)
			p.sync()
			p.kill()
			all := p.find(func(b *persistence.Batch) bool { return b.Delta != nil && b.Delta.Next == 11+65536 })
			if len(all) != 2 {
				t.Fatalf("the jump is in %d entries, want 2", len(all))
			}
			tamper := p.store.Tamper(name)
			if lose == "the state" {
				tamper.FlipHidden(all[1], 1000)
			} else {
				tamper.FlipHidden(all[0], 1000)
			}
			p.open()
			if n := len(p.seqs()); n != 15 || p.q.State().Counters.Left[types.Quarantined] != 0 {
				t.Errorf("%d messages, want 15; %d count as quarantined, want none", n, p.q.State().Counters.Left[types.Quarantined])
			}
			p.close()
		})
	}
}

// However long nobody syncs: no more numbers are unsynced than are left out.
func TestLazyNumbersAreNotUsedTwice(t *testing.T) {
	for seed := range uint64(2) {
		p := newPlace(t, 8<<20, true)
		for range 40 {
			p.write(persistence.Commit{Messages: messages(5_000, 0)})
		}
		given := p.q.State().Next - 1
		p.store = p.store.PowerCut(rand.New(rand.NewPCG(seed, 1)))
		p.open()
		if next := p.q.State().Next; next <= given {
			t.Errorf("next is %d, but %d was given out", next, given)
		}
		p.close()
	}
}

// Each recovery that is itself interrupted leaves the next one as much.
func TestRecoveryMayBeInterrupted(t *testing.T) {
	for stop := 1; ; stop++ {
		p := newPlace(t, 16<<10, true)
		p.fill(50, 100)
		p.done(3, 8)
		p.sync()
		p.kill()
		p.stopper = &stopper{Source: p.store.Source(name), stopAt: stop}
		whole := p.tryOpenStopped() == nil
		p.store = p.store.PowerCut(rand.New(rand.NewPCG(uint64(stop), 1)))
		p.open()
		if n, st := len(p.seqs()), p.q.State(); n != 44 || st.DuplicatesPossible || st.Next < 51+65536 {
			t.Fatalf("stopped at call %d: %d messages, want 44; %+v", stop, n, st)
		}
		p.close()
		if whole {
			return
		}
	}
}

// Entries of others may lie around with keys that come up here, too.
func TestForeignKeysAreAvoided(t *testing.T) {
	p := newPlace(t, 64<<10, false)
	p.fill(5, 10)
	p.close()
	var e persistence.Encoder
	tamper := p.store.Tamper(name)
	for key := uint64(1); key < 40; key++ {
		tamper.Add(tamper.Segments()[0], key, e.Encode(&persistence.Batch{LSN: key, Store: persistence.StoreID{1}, Kind: persistence.KindBatch}))
	}
	p.open()
	p.fill(60, 10)
	if n := len(p.seqs()); n != 65 {
		t.Errorf("%d messages, want 65", n)
	}
	p.close()
}

// S7.5: what is somebody else's, or newer, is refused and left as it is.
func TestRefusals(t *testing.T) {
	newer := func(value []byte) []byte { return reheader(value, func(b []byte) { b[4] = persistence.Major + 1 }) }
	foreign := func(value []byte) []byte { return reheader(value, func(b []byte) { b[8] ^= 0xff }) }
	for _, c := range []struct {
		name   string
		record func([]byte) []byte
		entry  func([]byte) []byte
		want   error
	}{
		{name: "a newer record", record: newerRecord, want: types.ErrNewerFormat},
		{name: "newer entries", entry: newer, want: types.ErrNewerFormat},
		{name: "newer entries without a record", record: func([]byte) []byte { return nil }, entry: newer, want: types.ErrNewerFormat},
		{name: "entries of another store", entry: foreign, want: types.ErrForeign},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := newPlace(t, 4<<10, false)
			p.fill(50, 100)
			p.done(1, 20)
			p.close()
			tamper := p.store.Tamper(name)
			if c.record != nil {
				tamper.SetRecord(c.record(tamper.Record()))
			}
			if c.entry != nil {
				for i, e := range tamper.Entries() {
					tamper.Replace(i, c.entry(e.Value))
				}
			}
			record, segments, entries := tamper.Record(), tamper.Segments(), tamper.Entries()
			for range 2 {
				if err := p.tryOpen(); !errors.Is(err, c.want) {
					t.Fatalf("open: %v, want %v", err, c.want)
				}
			}
			after := p.store.Tamper(name)
			if !slices.Equal(after.Record(), record) || !slices.Equal(after.Segments(), segments) || len(after.Entries()) != len(entries) {
				t.Fatal("the store was changed")
			}
			for i, e := range after.Entries() {
				if e.Key != entries[i].Key || e.Segment != entries[i].Segment || !slices.Equal(e.Value, entries[i].Value) || e.Gone != entries[i].Gone {
					t.Fatalf("entry %d was changed", i)
				}
			}
		})
	}
}

// One newer or foreign entry among ours costs no more than itself.
func TestStrayEntriesAreSetAside(t *testing.T) {
	for name, change := range map[string]func([]byte){
		"newer":   func(b []byte) { b[4] = persistence.Major + 1 },
		"foreign": func(b []byte) { b[8] ^= 0xff },
	} {
		t.Run(name, func(t *testing.T) {
			p := newPlace(t, 4<<10, false)
			p.fill(20, 100)
			p.close()
			tamper := p.store.Tamper("plant/outgoing")
			i := p.find(func(b *persistence.Batch) bool { return b.First == 7 })[0]
			tamper.Replace(i, reheader(tamper.Entries()[i].Value, change))
			p.open()
			if n := len(p.seqs()); n != 19 || p.q.State().Counters.Left[types.Quarantined] != 1 {
				t.Errorf("%d messages, want 19: %+v", n, p.q.State().Counters)
			}
			p.close()
		})
	}
}

// forgetful is a source that does not notice when its last segment is gone. It
// has noted which segments have ended.
type forgetful struct{ journal.Source }

func (f forgetful) Inspect(ctx context.Context) (journal.Contents, error) {
	c, err := f.Source.Inspect(ctx)
	c.Damage = nil
	for i := range c.Segments {
		c.Segments[i].Ended = true
	}
	return c, err
}

// A last segment that has ended without a close had one behind it.
func TestLastSegmentIsGone(t *testing.T) {
	for _, c := range []struct {
		name  string
		clean bool
		lose  bool
		want  bool
	}{
		{"after a close", true, false, false},
		{"the last one is gone", false, true, true},
		{"the last one is gone after a close", true, true, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := newPlace(t, 4<<10, false)
			p.fill(50, 100)
			next := p.q.State().Next
			if c.clean {
				p.close()
			}
			p.kill()
			if c.lose {
				segments := p.store.Tamper(name).Segments()
				p.store.Tamper(name).LoseSegment(segments[len(segments)-1])
			}
			q, err := journal.Open(t.Context(), forgetful{p.store.Source(name)}, journal.Options{Name: name, SegmentSize: 4 << 10})
			if err != nil {
				t.Fatal(err)
			}
			st := q.State()
			if st.DuplicatesPossible != c.want || c.want && st.Next < next || !c.want && st.Next != next {
				t.Errorf("duplicates possible is %t, want %t; next is %d, it was %d", st.DuplicatesPossible, c.want, st.Next, next)
			}
			if err := q.Close(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
}

// A power cut may take an older acknowledgement and spare a newer one: what is
// pending again has not left, and no more was accepted than was.
func TestBooksAfterAPowerCut(t *testing.T) {
	again := 0
	for seed := range uint64(50) {
		p := newPlace(t, 8<<20, false)
		p.fill(10, 100)
		p.sync()
		for seq := types.Seq(2); seq <= 8; seq += 2 { // 1 is not done, else the floor would say it all
			p.done(seq, seq)
		}
		p.fill(2, 100) // which may be lost
		p.store = p.store.PowerCut(rand.New(rand.NewPCG(seed, 1)))
		p.open()
		st, pending := p.q.State(), uint64(len(p.seqs()))
		if c := st.Counters; c.Accepted > 12 || c.Accepted < 10 || st.DuplicatesPossible || c.Accepted != pending+c.Left[types.Sent]+c.Left[types.Quarantined] {
			t.Errorf("seed %d: %d messages are pending, the books say %+v", seed, pending, c)
		}
		if pending > 8 {
			again++
		}
		p.close()
	}
	if again == 0 {
		t.Error("nothing was ever pending again")
	}
}
