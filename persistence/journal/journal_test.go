package journal_test

import (
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/mqttdb/mqttdb/persistence"
	"github.com/mqttdb/mqttdb/types"
)

// After a failure of the medium nothing more is taken, and a Sync never says
// again that all is well (after a failed fsync the next one may succeed, although
// the bytes are gone).
func TestFailureIsFinal(t *testing.T) {
	for _, c := range []struct {
		name string
		fail func(p *place) error
	}{
		{"append", func(p *place) error {
			p.stopAt = p.calls + 1
			_, err := p.q.Write(p.t.Context(), persistence.Commit{Messages: messages(1, 1)})
			return err
		}},
		{"sync", func(p *place) error {
			p.fill(1, 1)
			p.stopAt = p.calls + 1
			return p.q.Sync(p.t.Context())
		}},
		{"compact", func(p *place) error {
			p.fill(100, 1)
			p.stopAt = p.calls + 1
			_, err := p.q.(persistence.Compacter).Compact(p.t.Context(), 1<<20)
			return err
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := newPlace(t, 64<<10, false)
			p.fill(3, 10)
			err := c.fail(p)
			var se *types.StoreError
			if !errors.Is(err, errStopped) || !errors.As(err, &se) || se.Queue != name {
				t.Fatalf("the failure is %v", err)
			}
			if st := p.q.State(); c.name == "append" && (st.Pending() != 3 || st.Counters.Accepted != 3) {
				t.Errorf("a message that was not stored is pending: %+v", st)
			}
			p.stopAt = 0 // the medium would work again
			if _, err := p.q.Write(t.Context(), persistence.Commit{Messages: messages(1, 1)}); !errors.Is(err, errStopped) {
				t.Errorf("write after a failure: %v", err)
			}
			if _, err := p.q.(persistence.Compacter).Compact(t.Context(), 1<<20); !errors.Is(err, errStopped) {
				t.Errorf("compact after a failure: %v", err)
			}
			if err := p.q.Sync(t.Context()); c.name == "sync" && !errors.Is(err, errStopped) {
				t.Errorf("sync after a failure: %v", err)
			}
			syncs := p.syncs
			p.close()
			if p.syncs != syncs {
				t.Error("closing a failed queue writes to it")
			}
			p.open()
			if n := len(p.seqs()); n < 3 {
				t.Errorf("%d messages after opening again, want 3 at least", n)
			}
			p.close()
		})
	}
}

// What is too large is refused, and that is all.
func TestTooLarge(t *testing.T) {
	p := newPlace(t, 8<<20, false)
	p.fill(1, 10)
	many := make([]persistence.Done, 200_000)
	for i := range many {
		s := types.Seq(2*i + 1)
		many[i] = persistence.Done{Range: persistence.Range{First: s, Last: s}}
	}
	for _, c := range []struct {
		name   string
		commit persistence.Commit
	}{
		{"a message", persistence.Commit{Messages: messages(1, 8<<20)}},
		{"several messages", persistence.Commit{Messages: messages(3, 3<<20)}},
		{"marks", persistence.Commit{Marks: []persistence.Mark{{Key: "m", Value: make([]byte, 8<<20)}}}},
		{"what is done", persistence.Commit{Done: many}},
	} {
		before, calls := p.q.State(), p.calls
		_, err := p.q.Write(t.Context(), c.commit)
		if !errors.Is(err, types.ErrTooLarge) {
			t.Errorf("%s: %v, want ErrTooLarge", c.name, err)
		}
		if after := p.q.State(); after.Next != before.Next || after.Counters != before.Counters || p.calls != calls {
			t.Errorf("%s: something was done", c.name)
		}
	}
	p.write(persistence.Commit{Messages: messages(1, 7<<20)}) // the largest that S9 allows
	p.close()
	p.open()
	if n := len(p.seqs()); n != 2 {
		t.Errorf("%d messages, want 2", n)
	}
	p.close()
}

// Marks that each have room may be too many together: that is no fault of the one
// that is refused, and what is done can be recorded all the same.
func TestStateIsFull(t *testing.T) {
	p := newPlace(t, 8<<20, false)
	p.fill(10, 10)
	mark := func(key string, bytes int) []persistence.Mark {
		return []persistence.Mark{{Key: key, Value: make([]byte, bytes)}}
	}
	for n := range 7 {
		p.write(persistence.Commit{Marks: mark(fmt.Sprint(n), 1<<20-100)})
	}
	more := persistence.Commit{Messages: messages(1, 10), Marks: mark("more", 2000)}
	for _, c := range []persistence.Commit{more, {Marks: mark("much more", 1<<20)}} {
		before, calls := p.q.State(), p.calls
		_, err := p.q.Write(t.Context(), c)
		if !errors.Is(err, types.ErrQueueFull) || errors.Is(err, types.ErrTooLarge) || !persistence.Refused(err) {
			t.Errorf("%v, want ErrQueueFull", err)
		}
		if after := p.q.State(); after.Next != before.Next || after.Counters != before.Counters || p.calls != calls {
			t.Error("something was done")
		}
	}
	p.write(persistence.Commit{Done: []persistence.Done{{Range: persistence.Range{First: 4, Last: 4}}}, Marks: mark("cursor", 2000)})
	p.write(persistence.Commit{Marks: []persistence.Mark{{Key: "0"}}}) // removing makes room
	p.write(more)
	p.close()
	p.open()
	if n := len(p.seqs()); n != 10 {
		t.Errorf("%d messages, want 10", n)
	}
	p.close()
	if err := p.q.Close(t.Context()); err != nil {
		t.Errorf("a second close: %v", err)
	}
}

// When the oldest message was accepted is known after a start, too, and when those
// before it in its batch have left, whatever the wall clock was set to.
func TestOldest(t *testing.T) {
	p := newClocked(t)
	var since []time.Time
	for range 5 {
		m := messages(3, 10)
		for k := range m {
			p.clock.Advance(time.Second)
			m[k].Enqueued = p.clock.Now()
			since = append(since, p.clock.Now())
		}
		p.write(persistence.Commit{Messages: m})
	}
	for _, step := range []struct {
		name   string
		do     func()
		oldest int
		set    time.Duration // the wall clock, since
	}{
		{"at first", func() {}, 1, 0},
		{"some have left", func() { p.place.done(1, 7) }, 8, 0},
		{"set", func() { p.clock.Set(-3 * time.Hour) }, 8, -3 * time.Hour},
		{"opened again", func() { p.close(); p.open() }, 8, -3 * time.Hour},
	} {
		step.do()
		want, got := since[step.oldest-1].Round(0).Add(step.set), p.q.State().Oldest.Round(0)
		if off := want.Sub(got); off < 0 || off > 5*time.Millisecond {
			t.Errorf("%s: the oldest is of %v, want %v", step.name, got, want)
		}
	}
	p.place.done(8, 15)
	if got := p.q.State().Oldest; !got.IsZero() {
		t.Errorf("of none the oldest is of %v", got)
	}
	p.close()
}

// The set in a State does not change, and may be read beside the owner.
func TestStateIsASnapshot(t *testing.T) {
	p := newPlace(t, 1<<20, false)
	p.write(persistence.Commit{Messages: messages(20_000, 0)})
	p.done(10, 10)
	st := p.q.State()
	var wait sync.WaitGroup
	wait.Go(func() {
		for range 200 {
			if n := st.Done.Within(persistence.Range{First: 1, Last: 20_000}); n != 1 {
				t.Errorf("%d done", n)
			}
			other := p.q.State()
			if other.Done.Count() != other.Done.Within(persistence.Range{First: 1, Last: 20_000}) {
				t.Error("a state that does not agree with itself")
			}
		}
	})
	for s := types.Seq(3); s < 8000; s += 3 {
		p.done(s, s)
	}
	wait.Wait()
	p.close()
}

// While nobody reads or compacts, a message that came alone takes little memory
// beside the index, and a write does not get slower.
func BenchmarkWrite(b *testing.B) {
	for _, n := range []int{1, 16, 256} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			p := newPlace(b, 8<<20, false)
			c := persistence.Commit{Messages: messages(n, 200)}
			b.ReportAllocs()
			count := 0
			for b.Loop() {
				first := p.write(c)
				p.done(first, first+types.Seq(n-1))
				if count++; count%1000 == 0 {
					b.StopTimer()
					p.compact()
					b.StartTimer()
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*n), "ns/msg")
		})
	}
}
