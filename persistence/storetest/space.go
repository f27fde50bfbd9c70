package storetest

import (
	"testing"

	"github.com/mqttdb/mqttdb/persistence"
	"github.com/mqttdb/mqttdb/types"
)

// compact compacts until there is nothing more to do and returns what it gave
// back.
func compact(t testing.TB, q persistence.Queue) int64 {
	t.Helper()
	c, ok := q.(persistence.Compacter)
	if !ok {
		return 0
	}
	var reclaimed int64
	for range 10_000 {
		did, err := c.Compact(t.Context(), 64<<10)
		if err != nil {
			t.Fatalf("compact: %v", err)
		}
		reclaimed += did.Reclaimed
		if !did.More {
			return reclaimed
		}
	}
	t.Fatal("compaction does not come to an end")
	return 0
}

// compactSome makes so many steps of compaction, or less if there is nothing more
// to do.
func compactSome(t testing.TB, q persistence.Queue, steps int) {
	t.Helper()
	c, ok := q.(persistence.Compacter)
	for more := ok; more && steps > 0; steps-- {
		did, err := c.Compact(t.Context(), 4<<10)
		if err != nil {
			t.Fatalf("compact: %v", err)
		}
		more = did.More
	}
}

// payload is how large so many messages must be to fill eight segments, at least
// 200 bytes.
func (h Harness) payload(messages int) int {
	return max(200, int(8*h.segment())/messages)
}

func testCompact(t testing.TB, h Harness) {
	s := h.New(t)
	q := open(t, s)
	var high uint64
	const rounds = 60
	for i := range rounds {
		first := write(t, q, persistence.Commit{Messages: entries(200, h.payload(rounds*200))})
		write(t, q, persistence.Commit{Done: done(first, first+199, types.Sent)})
		compact(t, q)
		if i >= rounds/2 {
			high = max(high, q.State().DiskBytes)
		}
	}
	_, compacts := q.(persistence.Compacter)
	if st := q.State(); compacts && high > max(4*h.segment(), 100<<10) {
		t.Errorf("the log took %d bytes for a queue that is empty, after %d were written", high, st.BytesWritten)
	}
	closeAll(t, s, q)
	s = h.Kill(t, s)
	q = open(t, s)
	if got := readAll(t, q); len(got) != 0 {
		t.Errorf("%d messages came back", len(got))
	}
	closeAll(t, s, q)
}

func testRollUp(t testing.TB, h Harness) {
	s := h.New(t)
	q := open(t, s)
	const n = 3000
	for range n {
		write(t, q, persistence.Commit{Messages: entries(1, 20)})
	}
	write(t, q, persistence.Commit{Done: done(100, 110, types.Sent)})
	before := readAll(t, q)
	compact(t, q)
	syncQueue(t, q)
	for _, when := range []string{"rolled up", "after a kill", "after another compaction"} {
		after := readAll(t, q)
		if len(after) != len(before) || len(after) != n-11 {
			t.Fatalf("%s: %d messages, want %d", when, len(after), n-11)
		}
		for i := range after {
			if after[i].Seq != before[i].Seq || !sameEntry(after[i].Entry, before[i].Entry) {
				t.Fatalf("%s: message %d came back as %v, want %v", when, i, after[i], before[i])
			}
		}
		switch when {
		case "rolled up":
			s = h.Kill(t, s)
			q = open(t, s)
		case "after a kill":
			compact(t, q)
		}
	}
	closeAll(t, s, q)
}

func testStuck(t testing.TB, h Harness) {
	s := h.New(t)
	q := open(t, s)
	write(t, q, persistence.Commit{Messages: entries(1, 100)}) // never done
	const rounds = 60
	for range rounds {
		first := write(t, q, persistence.Commit{Messages: entries(100, h.payload(rounds*100))})
		write(t, q, persistence.Commit{Done: done(first, first+99, types.Sent)})
		compact(t, q)
	}
	if _, ok := q.(persistence.Compacter); ok {
		if st := q.State(); st.DiskBytes > max(4*h.segment(), 400<<10) {
			t.Errorf("one stuck message keeps %d bytes", st.DiskBytes)
		}
	}
	if got := readAll(t, q); len(got) != 1 || got[0].Seq != 1 {
		t.Errorf("the stuck message is not there: %v", got)
	}
	closeAll(t, s, q)
}

func testConcurrentSync(t testing.TB, h Harness) {
	s := h.New(t)
	q := open(t, s)
	failed, more := make(chan error, 1), make(chan struct{}, 1)
	go func() {
		defer close(failed)
		for range more {
			if err := q.Sync(t.Context()); err != nil {
				failed <- err
				return
			}
			q.State()
		}
	}()
	beside := func() { // it never spins: a browser would do nothing else then
		select {
		case more <- struct{}{}:
		default:
		}
	}
	for range 300 {
		beside()
		first := write(t, q, persistence.Commit{Messages: entries(20, 300)})
		beside()
		write(t, q, persistence.Commit{Done: done(first, first+18, types.Sent)})
		beside()
		if first%5 == 1 {
			compact(t, q)
		}
		readAll(t, q)
	}
	close(more)
	if err := <-failed; err != nil {
		t.Error(err)
	}
	if n := len(readAll(t, q)); n != 300 {
		t.Errorf("%d messages, want 300", n)
	}
	closeAll(t, s, q)
}
