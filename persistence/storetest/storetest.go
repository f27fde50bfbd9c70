// Package storetest holds the suite that every persistence.Store must pass: the
// sentences of its contract one by one, and random histories compared with a
// model, the store being killed after every step.
package storetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/mqttdb/mqttdb/persistence"
	"github.com/mqttdb/mqttdb/types"
)

// Harness makes the stores to be tested.
type Harness struct {
	// New returns an empty store with segments small enough that some
	// kilobytes fill one.
	New func(t testing.TB) persistence.Store

	// Kill returns a store that holds what the death of the process would leave
	// of s, which is not used any more.
	Kill func(t testing.TB, s persistence.Store) persistence.Store

	// PowerCut returns a store that holds what a power cut might leave of s. It
	// is nil for a store whose medium cannot lose what was written.
	PowerCut func(t testing.TB, s persistence.Store, r *rand.Rand) persistence.Store

	// Histories is how many random histories are tried; 0: 40.
	Histories int
}

const queueName = "plant/outgoing"

// Run runs the suite.
func Run(t *testing.T, h Harness) {
	for name, test := range map[string]func(*testing.T, Harness){
		"numbers rise from 1 without gaps":        testNumbers,
		"a record comes back as it was stored":    testRoundTrip,
		"read starts behind a number and is cut":  testRead,
		"what is done is gone and counted":        testDone,
		"everything of a commit is there at once": testCommit,
		"a second open is refused":                testInUse,
		"after close nothing is taken":            testClosed,
		"names are listed":                        testNames,
		"space comes back":                        testCompact,
		"small batches are rolled up":             testRollUp,
		"one stuck message pins nothing":          testStuck,
		"sync may run beside everything":          testConcurrentSync,
		"random histories, killed at every step":  testHistories,
		"random histories with power cuts":        testPowerCuts,
	} {
		t.Run(name, func(t *testing.T) { test(t, h) })
	}
}

func open(t testing.TB, s persistence.Store) persistence.Queue {
	t.Helper()
	q, err := s.Open(t.Context(), queueName)
	if err != nil {
		t.Fatalf("open: %v", err)
	}
	return q
}

func write(t testing.TB, q persistence.Queue, c persistence.Commit) types.Seq {
	t.Helper()
	first, err := q.Write(t.Context(), c)
	if err != nil {
		t.Fatalf("write: %v", err)
	}
	return first
}

func sync(t testing.TB, q persistence.Queue) {
	t.Helper()
	if err := q.Sync(t.Context()); err != nil {
		t.Fatalf("sync: %v", err)
	}
}

func readAll(t testing.TB, q persistence.Queue) []persistence.Record {
	t.Helper()
	var out []persistence.Record
	after := types.Seq(0)
	for {
		n := len(out)
		var err error
		out, err = q.Read(t.Context(), out, after, persistence.Limit{Records: 100})
		if err != nil {
			t.Fatalf("read: %v", err)
		}
		if len(out) == n {
			return out
		}
		after = out[len(out)-1].Seq
	}
}

func closeAll(t testing.TB, s persistence.Store, q persistence.Queue) {
	t.Helper()
	if err := q.Close(context.Background()); err != nil {
		t.Fatalf("close: %v", err)
	}
	if err := s.Close(); err != nil {
		t.Fatalf("close the store: %v", err)
	}
}

// now is a time as the stores keep it.
func now() time.Time { return time.UnixMilli(time.Now().UnixMilli()) }

func entries(n int, payload int) []persistence.Entry {
	out := make([]persistence.Entry, n)
	for i := range out {
		out[i] = persistence.Entry{
			Message:  types.Message{Topic: fmt.Sprintf("t/%d", i%7), Payload: bytes.Repeat([]byte{byte(i)}, payload), QoS: 1},
			Enqueued: now(),
		}
	}
	return out
}

func done(first, last types.Seq, why types.Reason) []persistence.Done {
	return []persistence.Done{{Range: persistence.Range{First: first, Last: last}, Reason: why}}
}

func testNumbers(t *testing.T, h Harness) {
	s := h.New(t)
	q := open(t, s)
	next := types.Seq(1)
	for i, n := range []int{1, 5, 1, 200, 3} {
		if first := write(t, q, persistence.Commit{Messages: entries(n, 10)}); first != next {
			t.Fatalf("first of commit %d is %d, want %d", i, first, next)
		}
		next += types.Seq(n)
		if first := write(t, q, persistence.Commit{}); first != 0 {
			t.Fatalf("an empty commit got number %d", first)
		}
		if i == 2 {
			write(t, q, persistence.Commit{Done: done(1, next-1, types.Sent)})
			closeAll(t, s, q)
			s = h.Kill(t, s)
			q = open(t, s)
		}
	}
	if got := q.State().Next; got != next {
		t.Fatalf("next is %d, want %d: numbers are never used again", got, next)
	}
	closeAll(t, s, q)
}

func testRoundTrip(t *testing.T, h Harness) {
	all := make([]byte, 256)
	for i := range all {
		all[i] = byte(i)
	}
	want := []persistence.Entry{
		{Message: types.Message{Topic: "a"}, Enqueued: now()},
		{Message: types.Message{Topic: "ä/€/𝄞", Payload: all, QoS: 2, Retain: true}, Enqueued: now().Add(-48 * time.Hour)},
		{Message: types.Message{Topic: strings.Repeat("x", types.MaxTopic), Payload: []byte(persistence.Magic), QoS: 1}, Enqueued: time.UnixMilli(0)},
		{Message: types.Message{Topic: "big", Payload: bytes.Repeat(all, 4096)}, Enqueued: now()},
		{Message: types.Message{Topic: "v5", Payload: []byte("x"), Expiry: 1500 * time.Millisecond, Properties: []byte{3, 0, 1, 'x'}}, Enqueued: now()},
		{Message: types.Message{Topic: "o", QoS: 2}, Origin: types.Origin{Source: "client:x", ID: 1<<64 - 1}, Enqueued: now()},
	}
	s := h.New(t)
	if small, ok := s.(interface{ MaxValue() int }); ok && small.MaxValue() < 2<<20 {
		want[3].Message.Payload = all // its segments are too small for more
	}
	q := open(t, s)
	write(t, q, persistence.Commit{Messages: want})
	check := func(when string) {
		t.Helper()
		got := readAll(t, q)
		if len(got) != len(want) {
			t.Fatalf("%s: %d records, want %d", when, len(got), len(want))
		}
		for i, r := range got {
			if r.Seq != types.Seq(i+1) || !sameEntry(r.Entry, want[i]) {
				t.Errorf("%s: record %d came back as %.200v, want %.200v", when, i, r, want[i])
			}
		}
	}
	check("from memory")
	closeAll(t, s, q)
	s = h.Kill(t, s)
	q = open(t, s)
	check("after reopening")
	closeAll(t, s, q)
}

func sameEntry(a, b persistence.Entry) bool {
	return a.Message.Topic == b.Message.Topic && bytes.Equal(a.Message.Payload, b.Message.Payload) &&
		a.Message.QoS == b.Message.QoS && a.Message.Retain == b.Message.Retain && a.Message.Expiry == b.Message.Expiry &&
		bytes.Equal(a.Message.Properties, b.Message.Properties) && a.Origin == b.Origin && a.Enqueued.Equal(b.Enqueued)
}

func testRead(t *testing.T, h Harness) {
	s := h.New(t)
	q := open(t, s)
	for range 10 {
		write(t, q, persistence.Commit{Messages: entries(10, 100)})
	}
	write(t, q, persistence.Commit{Done: done(41, 50, types.Sent)})
	seqs := func(after types.Seq, l persistence.Limit) []types.Seq {
		rs, err := q.Read(t.Context(), nil, after, l)
		if err != nil {
			t.Fatal(err)
		}
		var out []types.Seq
		for _, r := range rs {
			out = append(out, r.Seq)
		}
		return out
	}
	size := int64(entries(1, 100)[0].Message.Size())
	for _, c := range []struct {
		name  string
		after types.Seq
		limit persistence.Limit
		want  []types.Seq
	}{
		{"three", 0, persistence.Limit{Records: 3}, []types.Seq{1, 2, 3}},
		{"over a batch border", 8, persistence.Limit{Records: 4}, []types.Seq{9, 10, 11, 12}},
		{"over what is done", 39, persistence.Limit{Records: 2}, []types.Seq{40, 51}},
		{"by bytes", 20, persistence.Limit{Bytes: 2*size + 1}, []types.Seq{21, 22}},
		{"one at least", 20, persistence.Limit{Bytes: 1}, []types.Seq{21}},
		{"to the end", 97, persistence.Limit{}, []types.Seq{98, 99, 100}},
		{"behind the end", 100, persistence.Limit{}, nil},
		{"far behind the end", 1 << 40, persistence.Limit{}, nil},
	} {
		if got := seqs(c.after, c.limit); !slices.Equal(got, c.want) {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
	closeAll(t, s, q)
}

func testDone(t *testing.T, h Harness) {
	s := h.New(t)
	q := open(t, s)
	write(t, q, persistence.Commit{Messages: entries(20, 10)})
	write(t, q, persistence.Commit{Done: done(5, 8, types.Sent)})
	write(t, q, persistence.Commit{Done: done(7, 10, types.Cleared)}) // 7 and 8 are done already
	write(t, q, persistence.Commit{Done: done(15, 400, types.Expired)})
	check := func(when string) {
		t.Helper()
		st := q.State()
		c := st.Counters
		if c.Accepted != 20 || c.Left[types.Sent] != 4 || c.Left[types.Cleared] != 2 || c.Left[types.Expired] != 6 || st.Pending() != 8 || st.Floor != 0 {
			t.Errorf("%s: %+v", when, st)
		}
	}
	check("before")
	closeAll(t, s, q)
	s = h.Kill(t, s)
	q = open(t, s)
	check("after reopening")
	write(t, q, persistence.Commit{Done: done(1, 4, types.Sent)})
	if f := q.State().Floor; f != 10 {
		t.Errorf("the floor is %d, want 10", f)
	}
	closeAll(t, s, q)
}

func testCommit(t *testing.T, h Harness) {
	s := h.New(t)
	q := open(t, s)
	write(t, q, persistence.Commit{
		Messages:  entries(5, 10),
		Done:      done(2, 2, types.Dropped),
		Released:  persistence.Ranges{{First: 3, Last: 4}},
		Abandoned: done(4, 5, types.Cleared),
		Marks:     []persistence.Mark{{Key: "m/1", Value: []byte("one")}, {Key: "m/2", Value: []byte{0}}, {Key: "n", Value: []byte("x")}},
	})
	write(t, q, persistence.Commit{Marks: []persistence.Mark{{Key: "m/2"}, {Key: "m/0", Value: []byte("zero")}}})
	for _, when := range []string{"before", "after a kill"} {
		var marks []string
		for k, v := range q.Marks("m/") {
			marks = append(marks, k+"="+string(v))
		}
		if !slices.Equal(marks, []string{"m/0=zero", "m/1=one"}) {
			t.Errorf("%s: marks %q", when, marks)
		}
		var got []string
		for _, r := range readAll(t, q) {
			got = append(got, fmt.Sprint(r.Seq, r.Released, r.Abandoned))
		}
		if want := []string{"1 false false", "3 true false", "4 true true", "5 false true"}; !slices.Equal(got, want) {
			t.Errorf("%s: %q, want %q", when, got, want)
		}
		if when == "before" {
			s = h.Kill(t, s)
			q = open(t, s)
		}
	}
	write(t, q, persistence.Commit{Done: done(1, 5, types.Sent)})
	if st := q.State(); len(st.Released) != 0 || st.Done.Count() != 0 || st.Floor != 5 {
		t.Errorf("what is done is still released: %+v", st)
	}
	closeAll(t, s, q)
}

func testInUse(t *testing.T, h Harness) {
	s := h.New(t)
	q := open(t, s)
	if _, err := s.Open(t.Context(), queueName); !errors.Is(err, types.ErrInUse) {
		t.Errorf("second open: %v, want ErrInUse", err)
	}
	if err := q.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	closeAll(t, s, open(t, s))
}

func testClosed(t *testing.T, h Harness) {
	s := h.New(t)
	q := open(t, s)
	closeAll(t, s, q)
	if _, err := q.Write(t.Context(), persistence.Commit{Messages: entries(1, 1)}); !errors.Is(err, types.ErrClosed) {
		t.Errorf("write after close: %v, want ErrClosed", err)
	}
}

func testNames(t *testing.T, h Harness) {
	s := h.New(t)
	want := []string{"a/outgoing", "b.c/incoming", "b.c/outgoing"}
	for _, name := range []string{"b.c/outgoing", "a/outgoing", "b.c/incoming"} {
		q, err := s.Open(t.Context(), name)
		if err != nil {
			t.Fatal(err)
		}
		if err := q.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	got, err := s.Names(t.Context())
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("names %q, %v; want %q", got, err, want)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}
