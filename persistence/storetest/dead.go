package storetest

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/mqttdb/mqttdb/persistence"
	"github.com/mqttdb/mqttdb/types"
)

// testDead: a dead letter is out of the floor's way, is counted, survives
// everything and goes when it is freed (S1).
func testDead(t testing.TB, h Harness) {
	s := h.New(t)
	q := open(t, s)
	write(t, q, persistence.Commit{Messages: entries(20, 50)})
	set := done(3, 5, types.Dead)
	set[0].Cause = "the broker does not take it"
	write(t, q, persistence.Commit{Done: done(4, 4, types.Sent)}) // cannot die any more
	write(t, q, persistence.Commit{Done: set})
	long := done(9, 9, types.Dead)
	long[0].Cause = strings.Repeat("x", 2*persistence.MaxCause)
	write(t, q, persistence.Commit{Messages: entries(1, 10), Done: long})
	write(t, q, persistence.Commit{Done: done(1, 21, types.Sent)})
	want := []string{"3 the broker does not take it", "5 the broker does not take it", "9 " + strings.Repeat("x", persistence.MaxCause)}
	check := func(when string) {
		t.Helper()
		var got []string
		for _, r := range readDead(t, q) {
			got = append(got, fmt.Sprint(r.Seq, " ", r.Cause))
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s: dead letters %q, want %q", when, got, want)
		}
		st := q.State()
		if st.Floor != 21 || st.Pending() != 0 || st.Bytes != 0 || !st.Oldest.IsZero() || st.Counters.Left[types.Dead] != 3 || st.Dead != uint64(len(want)) {
			t.Errorf("%s: %+v", when, st)
		}
		if got := readAll(t, q); len(got) != 0 {
			t.Errorf("%s: %d messages are pending", when, len(got))
		}
	}
	check("at first")
	for i := range 6 {
		if i%2 == 0 {
			closeAll(t, s, q)
		}
		s = h.Kill(t, s)
		q = open(t, s)
		if h.Lazy && i%2 != 0 {
			write(t, q, persistence.Commit{Done: done(1, q.State().Next, types.Sent)})
		} else if !h.Lazy {
			check(fmt.Sprintf("start %d", i))
		}
		compact(t, q)
	}
	if h.Lazy { // numbers were left out
		closeAll(t, s, q)
		return
	}
	// A requeue is one commit.
	write(t, q, persistence.Commit{Messages: entries(1, 50), Freed: persistence.Ranges{{First: 3, Last: 4}}})
	write(t, q, persistence.Commit{Done: done(22, 22, types.Dead), Freed: persistence.Ranges{{First: 22, Last: 22}}})
	s = h.Kill(t, s)
	q = open(t, s)
	if got := readDead(t, q); len(got) != 2 || got[0].Seq != 5 || q.State().Counters.Left[types.Dead] != 4 {
		t.Errorf("%v are left", got)
	}
	write(t, q, persistence.Commit{Freed: persistence.Ranges{{First: 1, Last: 100}}})
	if st := q.State(); st.Dead != 0 || len(readDead(t, q)) != 0 {
		t.Errorf("%d are left", st.Dead)
	}
	closeAll(t, s, q)
}
