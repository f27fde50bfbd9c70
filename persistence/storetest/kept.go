package storetest

import (
	"fmt"
	"slices"
	"testing"

	"github.com/mqttdb/mqttdb/persistence"
	"github.com/mqttdb/mqttdb/types"
)

// readSent reads everything that was sent and is kept.
func readSent(t testing.TB, q persistence.Queue) []persistence.Record {
	t.Helper()
	reader, ok := q.(persistence.SentReader)
	if !ok {
		t.Fatal("it keeps nothing that was sent")
	}
	var out []persistence.Record
	for after := types.Seq(0); ; after = out[len(out)-1].Seq {
		n := len(out)
		var err error
		if out, err = reader.ReadSent(t.Context(), out, after, persistence.Limit{Records: 7}); err != nil {
			t.Fatalf("read what was sent: %v", err)
		}
		if len(out) == n {
			return out
		}
	}
}

// sent says that messages were sent, and are to be kept.
func sent(first, last types.Seq) []persistence.Done {
	d := done(first, last, types.Sent)
	d[0].Keep = true
	return d
}

// testSent: what was sent and is kept is done, can be read, survives everything,
// and goes when it lapses. Nothing else that left is kept.
func testSent(t testing.TB, h Harness) {
	s := h.New(t)
	q := open(t, s)
	all := entries(30, 50)
	write(t, q, persistence.Commit{Messages: all})
	write(t, q, persistence.Commit{Abandoned: done(7, 8, types.Cleared)})
	write(t, q, persistence.Commit{Done: slices.Concat(done(2, 2, types.Sent), done(4, 4, types.Cleared), done(5, 5, types.Dead), done(28, 28, types.Expired))})
	write(t, q, persistence.Commit{Done: sent(1, 10)}) // 2, 4 and 5 have left, 7 and 8 were given up
	write(t, q, persistence.Commit{Done: sent(25, 29), Lapsed: persistence.Ranges{{First: 26, Last: 26}}})
	write(t, q, persistence.Commit{Done: done(11, 24, types.Sent)})
	want := []types.Seq{1, 3, 6, 9, 10, 25, 27, 29}
	next := types.Seq(31)
	check := func(when string) {
		t.Helper()
		var got []types.Seq
		for _, r := range readSent(t, q) {
			got = append(got, r.Seq)
			if r.Seq <= 30 && !sameEntry(r.Entry, all[r.Seq-1]) {
				t.Errorf("%s: message %d came back as %v", when, r.Seq, r)
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s: %v are kept, want %v", when, got, want)
		}
		st := q.State()
		if st.Kept != uint64(len(want)) || (st.KeptBytes > 0) != (len(want) > 0) {
			t.Errorf("%s: its state says that %d are kept, with %d bytes", when, st.Kept, st.KeptBytes)
		}
		if pending := readAll(t, q); len(pending) != 1 || pending[0].Seq != 30 || st.Pending() != 1 || st.Floor != 29 {
			t.Errorf("%s: pending are %v; %+v", when, pending, st)
		}
		if dead := readDead(t, q); len(dead) != 1 || dead[0].Seq != 5 {
			t.Errorf("%s: dead letters %v", when, dead)
		}
		books(t, st, when)
	}
	check("at first")
	for i := range 6 {
		if i%2 == 0 {
			closeAll(t, s, q)
		}
		s = h.Kill(t, s)
		q = open(t, s)
		check(fmt.Sprintf("start %d", i))
		compact(t, q)
		check(fmt.Sprintf("compaction %d", i))
		next = q.State().Next
	}
	// A replay is one commit: a new message, and the old one is kept no longer.
	write(t, q, persistence.Commit{Messages: entries(1, 50), Lapsed: persistence.Ranges{{First: 3, Last: 4}, {First: 6, Last: 6}}})
	write(t, q, persistence.Commit{Done: sent(next, next)})
	want = append(slices.DeleteFunc(want, func(s types.Seq) bool { return s == 3 || s == 6 }), next)
	s = h.Kill(t, s)
	q = open(t, s)
	check("lapsed")
	write(t, q, persistence.Commit{Lapsed: persistence.Ranges{{First: 6, Last: q.State().Next}}})
	want = want[:1]
	check("all but one lapsed")
	closeAll(t, s, q)
}

// testKeptSpace: what is kept takes no more space than what is pending, and gives
// it back when it lapses.
func testKeptSpace(t testing.TB, h Harness) {
	s := h.New(t)
	q := open(t, s)
	const rounds, kept = 60, 5
	for i := range types.Seq(rounds) {
		first := write(t, q, persistence.Commit{Messages: entries(100, h.payload(rounds*100))})
		write(t, q, persistence.Commit{Done: sent(first, first+99), Lapsed: persistence.Ranges{{First: 1, Last: max(first, (kept-1)*100+1) - (kept-1)*100 - 1}}})
		compact(t, q)
		if n, want := q.State().Kept, min(uint64(i+1)*100, kept*100); n != want {
			t.Fatalf("round %d: %d are kept, want %d", i, n, want)
		}
	}
	st := q.State()
	if _, ok := q.(persistence.Compacter); ok {
		if most := max(6*h.segment(), 400<<10); st.DiskBytes > most {
			t.Errorf("%d bytes are kept, and %d taken", st.KeptBytes, st.DiskBytes)
		}
	}
	if got := readSent(t, q); uint64(len(got)) != st.Kept || len(got) < kept*100 {
		t.Errorf("%d messages can be read, %d are kept", len(got), st.Kept)
	}
	closeAll(t, s, q)
}
