package journal_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/mqttdb/mqttdb/persistence"
	"github.com/mqttdb/mqttdb/persistence/memory"
	"github.com/mqttdb/mqttdb/types"
)

// One call reads and forgets a bounded number of entries, whatever lies there.
func TestCompactIsBounded(t *testing.T) {
	p := newPlace(t, 8<<20, false)
	const n = 20_000
	p.fill(n, 20)
	p.sync()
	calls := 0
	for more := true; more; calls++ {
		loads, forgotten, appended, was := p.loads, p.forgotten, p.appended, p.calls
		did, err := p.q.(persistence.Compacter).Compact(t.Context(), 1<<20)
		if err != nil {
			t.Fatal(err)
		}
		more = did.More
		if p.loads-loads > 1024 || p.forgotten-forgotten > 512 || p.appended-appended > 2<<20 || p.calls-was > 16 {
			t.Fatalf("call %d read %d entries, forgot %d and wrote %d bytes in %d calls", calls, p.loads-loads, p.forgotten-forgotten, p.appended-appended, p.calls-was)
		}
	}
	if p.forgotten < n*99/100 { // what is left goes with the next pass
		t.Errorf("%d entries forgotten, want those of %d messages", p.forgotten, n)
	}
	if got := len(p.seqs()); got != n {
		t.Errorf("%d messages, want %d", got, n)
	}
	p.compact() // rolls up what the calls above could only roll up in parts
	p.compact()
	// What is done is not done again.
	idle, appended := p.calls, p.appended
	if p.compact() != 1 || p.calls != idle || p.appended != appended {
		t.Error("a compaction with nothing to do does something")
	}
	p.close()
}

// Survivors anywhere pin nothing for longer than a pass or two (S7.3), and a
// pass ends although each one leaves dead entries behind.
func TestDiskFollowsWhatIsLive(t *testing.T) {
	const size = 64 << 10
	for _, c := range []struct {
		name string
		keep func(seq types.Seq) bool
	}{
		{"every tenth", func(s types.Seq) bool { return s%10 == 0 }},
		{"the oldest", func(s types.Seq) bool { return s < 300 }},
		{"one in a thousand", func(s types.Seq) bool { return s%1000 == 0 }},
		{"the second half", func(s types.Seq) bool { return s > 5000 }},
		{"none", func(types.Seq) bool { return false }},
		{"all", func(types.Seq) bool { return true }},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := newPlace(t, size, false)
			const n = 10_000
			for range n / 10 {
				p.write(persistence.Commit{Messages: messages(10, 200)})
			}
			for s := types.Seq(1); s <= n; s++ {
				if !c.keep(s) {
					p.done(s, s)
				}
			}
			p.compact()
			p.compact()
			st := p.q.State()
			if limit := uint64(float64(st.Bytes)/0.94) + 4*size; st.DiskBytes > limit {
				t.Errorf("%d bytes for %d live ones, want at most %d", st.DiskBytes, st.Bytes, limit)
			}
			var want []types.Seq
			for s := types.Seq(1); s <= n; s++ {
				if c.keep(s) {
					want = append(want, s)
				}
			}
			if got := p.seqs(); fmt.Sprint(got) != fmt.Sprint(want) {
				t.Errorf("%d messages, want %d", len(got), len(want))
			}
			p.close()
		})
	}
}

// Marks of the size of a segment are in every state; that is no reason to write
// everything again for ever.
func TestLargeStateDoesNotKeepCompactionBusy(t *testing.T) {
	const size = 64 << 10
	p := newPlace(t, size, false)
	p.write(persistence.Commit{Marks: []persistence.Mark{{Key: "large", Value: make([]byte, size/2)}}})
	for range 200 {
		p.write(persistence.Commit{Messages: messages(10, 200)})
	}
	p.compact()
	was := p.appended
	for range 5 {
		p.compact()
	}
	if wrote := p.appended - was; wrote > 4*size {
		t.Errorf("five compactions with nothing to do wrote %d bytes", wrote)
	}
	p.close()
}

// Where the state is large, for what is done is scattered, copies of it do not fill
// the log: neither while messages come nor by compaction, behind which there is one.
func TestFewCopiesOfALargeState(t *testing.T) {
	const n, size = 200_000, 128 << 10
	p := newPlace(t, size, false)
	var c persistence.Commit
	for first := types.Seq(1); first < n; first += 200 {
		p.write(persistence.Commit{Messages: messages(200, 20)})
		c.Done = nil
		for s := first; s < first+200; s += 2 {
			c.Done = append(c.Done, persistence.Done{Range: persistence.Range{First: s, Last: s}, Reason: types.Cleared})
		}
		p.write(c)
	}
	p.compact()
	p.compact()
	st := p.q.State()
	if limit := st.Bytes*12/10 + 2*size; st.DiskBytes > limit {
		t.Errorf("%d bytes for %d live ones and a state of %d, want at most %d", st.DiskBytes, st.Bytes, st.Done.Size(), limit)
	}
	p.sync()
	p.kill()
	tamper := p.store.Tamper(name)
	segments := tamper.Segments()
	behind := false
	for _, e := range tamper.Entries() {
		b, err := persistence.Decode(e.Value)
		behind = behind || err == nil && isState(b) && e.Segment+1 >= segments[len(segments)-1]
	}
	if !behind {
		t.Error("there is no state behind what was written again")
	}
	p.open()
	if got := len(p.seqs()); got != n/2 {
		t.Errorf("%d messages, want %d", got, n/2)
	}
	p.close()
}

// However what is done is scattered: the state stays small, nothing is slow, and
// it comes back (S7.3).
func TestScatteredDone(t *testing.T) {
	const n = 100_000
	p := newPlace(t, 8<<20, false)
	for range n / 2000 {
		p.write(persistence.Commit{Messages: messages(2000, 0)})
	}
	var c persistence.Commit
	for s := types.Seq(2); s <= n; s += 2 {
		c.Done = append(c.Done, persistence.Done{Range: persistence.Range{First: s, Last: s}, Reason: types.Cleared})
		if len(c.Done) == 1000 {
			p.write(c)
			c.Done = nil
		}
	}
	p.write(c)
	for _, when := range []string{"before", "after a kill", "after a close"} {
		st := p.q.State()
		if st.Pending() != n/2 || st.Done.Count() != n/2 || st.Counters.Left[types.Cleared] != n/2 {
			t.Fatalf("%s: %d pending, %d done, %+v", when, st.Pending(), st.Done.Count(), st.Counters)
		}
		if st.Done.Size() > n/8*5/4 {
			t.Errorf("%s: what is done takes %d bytes", when, st.Done.Size())
		}
		switch when {
		case "before":
			p.compact()
			p.kill()
			p.open()
		case "after a kill":
			p.close()
			p.open()
		}
	}
	for i, s := range p.seqs() {
		if s != types.Seq(2*i+1) {
			t.Fatalf("message %d is %d", i, s)
		}
	}
	p.done(1, n)
	if st := p.q.State(); st.Floor != n || st.Done.Size() != 0 {
		t.Errorf("floor %d, want %d; %d bytes of numbers above it", st.Floor, n, st.Done.Size())
	}
	p.close()
}

// BenchmarkCompact rolls up a backlog of batches of one message, and reports the
// longest call.
func BenchmarkCompact(b *testing.B) {
	for _, n := range []int{10_000, 100_000, 1_000_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			var longest time.Duration
			for b.Loop() {
				b.StopTimer()
				p := newPlace(b, 8<<20, false)
				p.fill(n, 200)
				b.StartTimer()
				for more := true; more; {
					began := time.Now()
					did, err := p.q.(persistence.Compacter).Compact(b.Context(), 1<<20)
					if err != nil {
						b.Fatal(err)
					}
					more = did.More
					longest = max(longest, time.Since(began))
				}
			}
			b.ReportMetric(float64(longest.Microseconds())/1000, "ms/longest")
		})
	}
}

// Each start adds a segment, and one old message keeps all of them: their number
// is bounded all the same.
func TestStartsDoNotAddUp(t *testing.T) {
	s := memory.New(memory.Options{})
	ctx := t.Context()
	most := 0
	for i := range 300 {
		q, err := s.Open(ctx, name)
		if err != nil {
			t.Fatal(err)
		}
		if i == 0 {
			if _, err := q.Write(ctx, persistence.Commit{Messages: []persistence.Entry{{Message: types.Message{Topic: "t"}}}}); err != nil {
				t.Fatal(err)
			}
		}
		if q.State().CompactionDue { // as the queue actor does
			for more := true; more; {
				did, err := q.(persistence.Compacter).Compact(ctx, 1<<20)
				if err != nil {
					t.Fatal(err)
				}
				more = did.More
			}
		}
		if i%3 == 0 {
			s = s.Kill()
		} else if err := q.Close(ctx); err != nil {
			t.Fatal(err)
		}
		src := s.Source(name)
		contents, err := src.Inspect(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if err := src.Release(); err != nil {
			t.Fatal(err)
		}
		most = max(most, len(contents.Segments))
	}
	if most > 24 {
		t.Errorf("%d segments for one message", most)
	}
	q, err := s.Open(ctx, name)
	if err != nil {
		t.Fatal(err)
	}
	if st := q.State(); st.Pending() != 1 || st.Counters.Accepted != 1 {
		t.Errorf("%+v", st)
	}
}

// What compaction gave back, and when it ended, is known after a restart.
func TestCompactionIsRemembered(t *testing.T) {
	p := newPlace(t, 16<<10, false)
	for range 100 {
		first := p.write(persistence.Commit{Messages: messages(10, 200)})
		p.done(first, first+9)
	}
	if st := p.q.State(); st.Reclaimed != 0 || !st.Compacted.IsZero() {
		t.Errorf("before there was one: %d, %v", st.Reclaimed, st.Compacted)
	}
	began := time.Now().Truncate(time.Millisecond)
	p.compact()
	st := p.q.State()
	if st.Reclaimed < 100_000 || st.Compacted.Before(began) {
		t.Errorf("%d bytes were given back, it ended at %v", st.Reclaimed, st.Compacted)
	}
	p.close()
	p.open()
	if again := p.q.State(); again.Reclaimed != st.Reclaimed || !again.Compacted.Equal(st.Compacted) {
		t.Errorf("after a restart %d and %v, want %d and %v", again.Reclaimed, again.Compacted, st.Reclaimed, st.Compacted)
	}
	p.close()
}

// A pass comes to an end however much is written meanwhile, and what is written does
// not wait for the end of a long one to be rolled up.
func TestPassWhileMuchIsWritten(t *testing.T) {
	p := newPlace(t, 1<<20, false)
	for range 200 { // large enough not to be rolled up
		first := p.write(persistence.Commit{Messages: messages(400, 200)})
		var c persistence.Commit
		for s := first; s < first+400; s += 2 {
			c.Done = append(c.Done, persistence.Done{Range: persistence.Range{First: s, Last: s}, Reason: types.Cleared})
		}
		p.write(c)
	}
	calls := 0
	for ; ; calls++ {
		did, err := p.q.(persistence.Compacter).Compact(t.Context(), 64<<10)
		if err != nil {
			t.Fatal(err)
		}
		if !did.More {
			break
		}
		for range 100 {
			p.write(persistence.Commit{Messages: messages(1, 20)})
		}
		if calls > 2000 {
			t.Fatal("it does not come to an end")
		}
	}
	if calls < 130 {
		t.Fatalf("%d calls: that was no long pass", calls)
	}
	if left := 100*calls - p.forgotten; left > 3*4096 {
		t.Errorf("of %d batches of one message %d are left", 100*calls, left)
	}
	if got := len(p.seqs()); got != 200*200+100*calls {
		t.Errorf("%d messages, want %d", got, 200*200+100*calls)
	}
	p.close()
}
