package faultstore_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/mqttdb/mqttdb/persistence"
	"github.com/mqttdb/mqttdb/persistence/faultstore"
	"github.com/mqttdb/mqttdb/persistence/memory"
	"github.com/mqttdb/mqttdb/persistence/storetest"
	"github.com/mqttdb/mqttdb/types"
)

const name = "plant/outgoing"

// Without faults it is as good as what is within.
func TestStore(t *testing.T) {
	crash := func(t testing.TB, s persistence.Store, r *rand.Rand) persistence.Store {
		crashed, err := s.(*faultstore.Store).Crash(r)
		if err != nil {
			t.Fatal(err)
		}
		return crashed
	}
	storetest.Run(t, storetest.Harness{
		New: func(testing.TB) persistence.Store {
			return faultstore.New(memory.New(memory.Options{SegmentSize: 16 << 10}))
		},
		Kill:     func(t testing.TB, s persistence.Store) persistence.Store { return crash(t, s, nil) },
		PowerCut: crash,
		Break: func(_ testing.TB, s persistence.Store) {
			s.(*faultstore.Store).Inject(faultstore.Fault{Op: faultstore.Write})
		},
		SegmentSize: 16 << 10,
		Histories:   5,
	})
}

func commit(n, payload int) persistence.Commit {
	var c persistence.Commit
	for range n {
		c.Messages = append(c.Messages, persistence.Entry{Message: types.Message{Topic: "t", Payload: make([]byte, payload)}})
	}
	return c
}

// call makes one call of a method.
func call(t *testing.T, s *faultstore.Store, q persistence.Queue, op faultstore.Op) error {
	var err error
	switch op {
	case faultstore.Open:
		_, err = s.Open(t.Context(), "other/outgoing")
	case faultstore.Write:
		_, err = q.Write(t.Context(), commit(1, 1))
	case faultstore.Sync:
		err = q.Sync(t.Context())
	case faultstore.Read:
		_, err = q.Read(t.Context(), nil, 0, persistence.Limit{})
	case faultstore.Compact:
		_, err = q.(persistence.Compacter).Compact(t.Context(), 1<<20)
	case faultstore.Close:
		err = q.Close(t.Context())
	}
	return err
}

func TestFaults(t *testing.T) {
	for _, op := range []faultstore.Op{faultstore.Open, faultstore.Write, faultstore.Sync, faultstore.Read, faultstore.Compact, faultstore.Close} {
		t.Run(op.String(), func(t *testing.T) {
			s := faultstore.New(memory.New(memory.Options{}))
			q, err := s.Open(t.Context(), name)
			if err != nil {
				t.Fatal(err)
			}
			s.Inject(faultstore.Fault{Op: op, Err: faultstore.DiskFull()})
			err = call(t, s, q, op)
			var se *types.StoreError
			if !errors.As(err, &se) || !strings.Contains(se.Hint, "free space") {
				t.Fatalf("the fault gives %v", err)
			}
			final := op == faultstore.Write || op == faultstore.Sync
			if err := call(t, s, q, op); (err != nil) != final {
				t.Errorf("the call after it gives %v", err)
			}
			if op == faultstore.Open {
				q, err := s.Open(t.Context(), "third/outgoing")
				if err != nil {
					t.Fatal(err)
				}
				if err := q.Close(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
			// What failed can be opened again.
			_ = q.Close(t.Context())
			if q, err = s.Open(t.Context(), name); err != nil {
				t.Fatal(err)
			}
			if _, err := q.Write(t.Context(), commit(1, 1)); err != nil {
				t.Errorf("a write after opening again: %v", err)
			}
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestAfterAndTimes(t *testing.T) {
	for _, c := range []struct {
		name  string
		fault faultstore.Fault
		want  string // of six reads: . good, x failed
	}{
		{"the first", faultstore.Fault{}, "x....."},
		{"the third", faultstore.Fault{After: 2}, "..x..."},
		{"two of them", faultstore.Fault{After: 1, Times: 2}, ".xx..."},
		{"until it is healed", faultstore.Fault{After: 1, Times: -1}, ".xxx.."},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := faultstore.New(memory.New(memory.Options{}))
			q, err := s.Open(t.Context(), name)
			if err != nil {
				t.Fatal(err)
			}
			c.fault.Op = faultstore.Read
			s.Inject(c.fault)
			got := ""
			for i := range 6 {
				if i == 4 {
					s.Heal()
				}
				if call(t, s, q, faultstore.Read) == nil {
					got += "."
				} else {
					got += "x"
				}
			}
			if got != c.want || s.Calls(faultstore.Read) != 6 {
				t.Errorf("%s, want %s; %d calls", got, c.want, s.Calls(faultstore.Read))
			}
		})
	}
}

// The answer of a late fault is lost, what was to be stored is not.
func TestLate(t *testing.T) {
	s := faultstore.New(memory.New(memory.Options{}))
	q, err := s.Open(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	s.Inject(faultstore.Fault{Op: faultstore.Write, Late: true})
	if _, err := q.Write(t.Context(), commit(2, 1)); err == nil {
		t.Fatal("the fault did not show")
	}
	if n := q.State().Pending(); n != 2 {
		t.Errorf("%d messages are there, want 2", n)
	}
	s.Inject(faultstore.Fault{Op: faultstore.Open, Late: true})
	if _, err := s.Open(t.Context(), "other/outgoing"); err == nil {
		t.Fatal("the fault did not show")
	}
	other, err := s.Open(t.Context(), "other/outgoing")
	if err != nil {
		t.Fatalf("the queue was left open: %v", err)
	}
	if err := errors.Join(other.Close(t.Context()), q.Close(t.Context())); err != nil {
		t.Error(err)
	}
}

// A sync can be held until the test says so; meanwhile more is written.
func TestBefore(t *testing.T) {
	s := faultstore.New(memory.New(memory.Options{}))
	q, err := s.Open(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	held, release := make(chan faultstore.Call), make(chan struct{})
	s.Before(func(_ context.Context, c faultstore.Call) error {
		if c.Op == faultstore.Sync && c.N == 1 {
			held <- c
			<-release
		}
		return nil
	})
	for range 3 {
		if _, err := q.Write(t.Context(), commit(2, 83)); err != nil {
			t.Fatal(err)
		}
	}
	synced := make(chan error)
	go func() { synced <- q.Sync(t.Context()) }()
	if c := <-held; c.Queue != name || c.Batch != (faultstore.Batch{Messages: 6, Bytes: 600}) {
		t.Errorf("held %+v", c)
	}
	if _, err := q.Write(t.Context(), commit(1, 83)); err != nil {
		t.Fatal(err)
	}
	close(release)
	if err := <-synced; err != nil {
		t.Fatal(err)
	}
	if err := q.Sync(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := s.Syncs(); len(got) != 2 || got[0].Messages != 6 || got[1] != (faultstore.Batch{Messages: 1, Bytes: 100}) {
		t.Errorf("syncs %v", got)
	}
	if got := s.Writes(); len(got) != 4 || got[3].Messages != 1 {
		t.Errorf("writes %v", got)
	}
	wrong := errors.New("wrong")
	s.Before(func(context.Context, faultstore.Call) error { return wrong })
	if _, err := q.Write(t.Context(), commit(1, 1)); !errors.Is(err, wrong) {
		t.Errorf("write: %v", err)
	}
	s.Before(nil)
	if err := q.Close(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestCrashNeedsACrasher(t *testing.T) {
	var plain struct{ persistence.Store }
	if _, err := faultstore.New(plain).Crash(nil); err == nil {
		t.Error("a store that cannot crash did")
	}
}
