package storetest

import (
	"errors"
	"slices"
	"testing"

	"github.com/mqttdb/mqttdb/persistence"
	"github.com/mqttdb/mqttdb/types"
)

func testInUse(t testing.TB, h Harness) {
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

func testClosed(t testing.TB, h Harness) {
	s := h.New(t)
	q := open(t, s)
	closeAll(t, s, q)
	if _, err := q.Write(t.Context(), persistence.Commit{Messages: entries(1, 1)}); !errors.Is(err, types.ErrClosed) {
		t.Errorf("write after close: %v, want ErrClosed", err)
	}
}

func testBroken(t testing.TB, h Harness) {
	if h.Break == nil {
		t.Log("this medium cannot be made to fail")
		return
	}
	s := h.New(t)
	q := open(t, s)
	write(t, q, persistence.Commit{Messages: entries(3, 10)})
	h.Break(t, s)
	var failed bool
	for range 3 {
		_, err := q.Write(t.Context(), persistence.Commit{Messages: entries(1, 10)})
		if err == nil {
			err = q.Sync(t.Context())
		}
		if failed && err == nil {
			t.Fatal("after a failure a write succeeds")
		}
		failed = failed || err != nil
	}
	if !failed {
		t.Error("a medium that is gone is not noticed")
	}
	q.State() // can still be asked
	_ = q.Close(t.Context())
}

func testTooLarge(t testing.TB, h Harness) {
	s := h.New(t)
	q := open(t, s)
	write(t, q, persistence.Commit{Messages: entries(3, 10)})
	before := q.State()
	for _, c := range []struct {
		name   string
		commit persistence.Commit
		want   error
	}{
		{"too large", persistence.Commit{Messages: entries(1, 9<<20), Done: done(1, 1, types.Sent)}, types.ErrTooLarge},
		{"QoS 3", persistence.Commit{Messages: []persistence.Entry{{Message: types.Message{Topic: "t", QoS: 3}}}}, types.ErrInvalidMessage},
		{"kept as sent, and cleared", persistence.Commit{Done: []persistence.Done{{Range: persistence.Range{First: 1, Last: 1}, Reason: types.Cleared, Keep: true}}}, types.ErrInvalidMessage},
		{"no reason", persistence.Commit{Done: done(1, 1, types.Reason(types.Reasons))}, types.ErrInvalidMessage},
	} {
		if _, err := q.Write(t.Context(), c.commit); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", c.name, err, c.want)
		}
	}
	if st := q.State(); st.Next != before.Next || st.Pending() != 3 || st.Counters != before.Counters {
		t.Errorf("it has changed the queue: %+v", st)
	}
	if first := write(t, q, persistence.Commit{Messages: entries(2, 10)}); first != 4 {
		t.Errorf("the next number is %d, want 4", first)
	}
	syncQueue(t, q)
	closeAll(t, s, q)
}

func testNames(t testing.TB, h Harness) {
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

func testReopen(t testing.TB, h Harness) {
	s := h.New(t)
	q := open(t, s)
	write(t, q, persistence.Commit{Messages: entries(30, 50), Marks: []persistence.Mark{{Key: "m", Value: []byte("v")}}})
	write(t, q, persistence.Commit{Done: done(2, 9, types.Sent)})
	before := readAll(t, q)
	counters, disk := q.State().Counters, q.State().DiskBytes
	for i := range 40 {
		if i%4 == 3 {
			s = h.Kill(t, s)
		} else if err := q.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		q = open(t, s)
		after := readAll(t, q)
		if len(after) != len(before) || q.State().Counters != counters {
			t.Fatalf("start %d: %d messages, want %d; %+v", i, len(after), len(before), q.State().Counters)
		}
		if i%4 == 0 {
			compact(t, q)
		}
	}
	compact(t, q)
	if _, ok := q.(persistence.Compacter); ok && q.State().DiskBytes > disk+16<<10 {
		t.Errorf("starts alone have made %d bytes of %d", q.State().DiskBytes, disk)
	}
	closeAll(t, s, q)
}
