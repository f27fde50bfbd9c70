package actors

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"

	"github.com/mqttdb/mqttdb/persistence"
	"github.com/mqttdb/mqttdb/types"
)

func TestAdmissionTryAcquire(t *testing.T) {
	tests := []struct {
		name        string
		limit, used Cost
		ask         Cost
		want        error
	}{
		{"room", Cost{2, 100}, Cost{1, 50}, Cost{1, 50}, nil},
		{"no room for the message", Cost{2, 100}, Cost{2, 50}, Cost{1, 1}, types.ErrBusy},
		{"no room for the bytes", Cost{2, 100}, Cost{1, 50}, Cost{1, 51}, types.ErrBusy},
		{"larger than everything, alone", Cost{2, 100}, Cost{}, Cost{5, 500}, nil},
		{"larger than everything, not alone", Cost{2, 100}, Cost{1, 1}, Cost{1, 500}, types.ErrBusy},
		{"no limits", Cost{}, Cost{1000, 1 << 40}, Cost{1, 1}, nil},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			a := NewAdmission(test.limit)
			if test.used != (Cost{}) {
				if err := a.TryAcquire(test.used); err != nil {
					t.Fatal(err)
				}
			}
			if err := a.TryAcquire(test.ask); !errors.Is(err, test.want) {
				t.Errorf("TryAcquire = %v, want %v", err, test.want)
			}
		})
	}
}

func TestAdmissionIsFIFO(t *testing.T) {
	a := NewAdmission(Cost{1, 0})
	one := Cost{1, 0}
	if err := a.TryAcquire(one); err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	var order []int
	for i := range 10 {
		a.Notify(one, func(err error) {
			if err != nil {
				t.Error(err)
			}
			mu.Lock()
			order = append(order, i)
			mu.Unlock()
		})
	}
	if err := a.TryAcquire(Cost{}); !errors.Is(err, types.ErrBusy) {
		t.Errorf("overtaking gives %v, want ErrBusy", err)
	}
	for range 10 {
		a.Release(one)
	}
	if want := []int{0, 1, 2, 3, 4, 5, 6, 7, 8, 9}; !slices.Equal(order, want) {
		t.Errorf("admitted in the order %v", order)
	}
}

func TestAdmissionContext(t *testing.T) {
	a := NewAdmission(Cost{10, 0})
	if err := a.TryAcquire(Cost{8, 0}); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := a.Acquire(ctx, Cost{5, 0}); !errors.Is(err, context.Canceled) {
		t.Errorf("Acquire = %v, want that it was cancelled", err)
	}
	// It blocked the line; those behind it are admitted now.
	if err := a.TryAcquire(Cost{2, 0}); err != nil {
		t.Error(err)
	}
	if used := a.Used(); used.Messages != 10 {
		t.Errorf("used %d, want 10", used.Messages)
	}
}

// Who is refused, and gives up in the same moment, is counted once.
func TestARefusalIsCountedOnce(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for range 50 { // select takes one of two at random
		a := NewAdmission(Cost{})
		a.setLimits(Limits{MaxMessages: 1})
		a.setStored(Cost{1, 1}, Cost{})
		if err := a.AcquireUnlessFull(ctx, Cost{1, 1}); !errors.Is(err, types.ErrQueueFull) {
			t.Fatalf("AcquireUnlessFull = %v, want ErrQueueFull", err)
		}
		status := types.QueueStatus{RefusedBy: make(map[string]uint64)}
		if a.fill(&status); status.Refused != 1 {
			t.Fatalf("%d were refused, want 1", status.Refused)
		}
	}
}

// A queue that has stopped says so to a group, too, for which there would be no room.
func TestAClosedAdmissionIsNotBusy(t *testing.T) {
	a := NewAdmission(Cost{})
	a.setLimits(Limits{MaxMessages: 1})
	a.close(types.ErrClosed)
	if err := a.TryAcquire(Cost{2, 2}); !errors.Is(err, types.ErrClosed) {
		t.Errorf("TryAcquire = %v, want ErrClosed", err)
	}
}

func TestAdmissionUnderLoad(t *testing.T) {
	a := NewAdmission(Cost{7, 70})
	var wg sync.WaitGroup
	for i := range 32 {
		wg.Go(func() {
			for j := range 200 {
				c := Cost{1 + (i+j)%3, int64(i)}
				ctx, cancel := context.WithCancel(context.Background())
				if j%5 == 0 {
					go cancel()
				}
				if a.Acquire(ctx, c) == nil {
					if used := a.Used(); used.Messages > 7 || used.Bytes > 70 {
						t.Errorf("%+v are admitted", used)
					}
					a.Release(c)
				}
				cancel()
			}
		})
	}
	wg.Wait()
	if used := a.Used(); used != (Cost{}) {
		t.Errorf("%+v leaked", used)
	}
}

func TestAdmissionClose(t *testing.T) {
	a := NewAdmission(Cost{1, 0})
	if err := a.TryAcquire(Cost{1, 0}); err != nil {
		t.Fatal(err)
	}
	told := make(chan error, 2)
	a.Notify(Cost{1, 0}, func(err error) { told <- err })
	a.close(types.ErrClosed)
	a.Notify(Cost{1, 0}, func(err error) { told <- err })
	for range 2 {
		if err := receive(t, told, "the end"); !errors.Is(err, types.ErrClosed) {
			t.Errorf("told %v, want ErrClosed", err)
		}
	}
	if err := a.Acquire(t.Context(), Cost{1, 0}); !errors.Is(err, types.ErrClosed) {
		t.Errorf("Acquire = %v, want ErrClosed", err)
	}
	a.Release(Cost{1, 0})
}

// Whoever was told that there is room, and comes for it, gets it before those who
// wait behind: else one that needs much would find it taken each time.
func TestAPromiseIsKept(t *testing.T) {
	a := NewAdmission(Cost{Bytes: 100})
	mustAcquire := func(c Cost) {
		t.Helper()
		if err := a.TryAcquire(c); err != nil {
			t.Fatal(err)
		}
	}
	small, large := Cost{1, 10}, Cost{1, 95}
	for range 10 {
		mustAcquire(small)
	}
	told := make(chan error, 1)
	a.Promise(large, func(err error) { told <- err })
	waiting := 0
	got := make(chan struct{}, 20)
	for range 5 {
		waiting++
		a.Notify(small, func(error) { got <- struct{}{} })
	}
	for range 10 {
		a.Release(small)
	}
	if err := receive(t, told, "the turn"); err != nil {
		t.Fatal(err)
	}
	if err := a.TryAcquire(small); !errors.Is(err, types.ErrBusy) {
		t.Errorf("another one comes between: %v", err)
	}
	mustAcquire(large)
	if len(got) > 0 {
		t.Error("others were let in")
	}
	a.Release(large)
	for range waiting {
		receive(t, got, "those who waited")
	}
	for range waiting {
		a.Release(small)
	}
	if used := a.Used(); used != (Cost{}) {
		t.Errorf("%+v is left", used)
	}

	// One that nobody comes for lapses.
	mustAcquire(small)
	a.Promise(large, func(err error) { told <- err })
	a.Release(small)
	receive(t, told, "the turn")
	if err := a.Acquire(soon(t), Cost{1, 100}); err != nil {
		t.Error(err)
	}
}

// S2.4: a queue in memory holds so much and no more; whoever publishes waits
// until there is room again.
func TestWhatIsStoredIsBounded(t *testing.T) {
	const most = 64 << 10
	q, _ := startQueue(t, newTestSystem(t), newTestStore(), func(c *QueueConfig) { c.Limits.MaxBytes = most })
	one := entry("t", string(make([]byte, 1000)))
	n := types.Seq(0)
	for {
		if err := q.Admission().TryAcquire(CostOf([]persistence.Entry{one})); errors.Is(err, types.ErrBusy) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		q.Admission().Release(CostOf([]persistence.Entry{one}))
		if _, err := put(soon(t), q, one); err != nil {
			t.Fatal(err)
		}
		if n++; n > 100 {
			t.Fatalf("%d bytes are stored", q.State().Bytes)
		}
	}
	if n < 50 || q.State().Bytes > most+128 { // the last commit takes a little beside its message
		t.Errorf("%d messages, %d bytes are stored", n, q.State().Bytes)
	}
	stored := make(chan error, 1)
	go func() { _, err := put(soon(t), q, one); stored <- err }()
	for waiting := 0; waiting == 0; { // until it waits
		q.admission.mu.Lock()
		waiting = len(q.admission.waiting)
		q.admission.mu.Unlock()
	}
	q.Tell(Settle{Done: []persistence.Done{{Range: persistence.Range{First: 1, Last: 3}, Reason: types.Sent}}})
	if err := receive(t, stored, "room"); err != nil {
		t.Error(err)
	}

	// A message larger than all is taken when there is nothing else.
	q.Tell(Settle{Done: []persistence.Done{{Range: persistence.Range{First: 1, Last: n + 1}, Reason: types.Sent}}})
	if _, err := put(soon(t), q, entry("t", string(make([]byte, 2*most)))); err != nil {
		t.Error(err)
	}
}
