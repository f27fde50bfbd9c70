package actors

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/mqttdb/mqttdb/persistence"
	"github.com/mqttdb/mqttdb/types"
)

// fullQueue has no room for messages while its disk is full.
type fullQueue struct {
	persistence.Queue
	persistence.Compacter
	full *atomic.Bool
}

func (q *fullQueue) Write(ctx context.Context, c persistence.Commit) (types.Seq, error) {
	if len(c.Messages) > 0 {
		if err := q.Room(ctx); err != nil {
			return 0, err
		}
	}
	return q.Queue.Write(ctx, c)
}

func (q *fullQueue) Room(context.Context) error {
	if q.full.Load() {
		return &types.StoreError{Op: "write to", Queue: "test/outgoing", Err: fmt.Errorf("%w: 1 MiB are free", types.ErrDiskFull), Hint: "free space"}
	}
	return nil
}

// Without room for messages all else goes on, and whoever has some waits.
func TestShortage(t *testing.T) {
	s, clock := newTestStore(), newTestClock()
	var full atomic.Bool
	q, b := startQueue(t, newTestSystem(t), s, func(c *QueueConfig) {
		c.Clock = clock
		c.Open = func(ctx context.Context) (persistence.Queue, error) {
			inner, err := s.opener("test/outgoing")(ctx)
			if err != nil {
				return nil, err
			}
			return &fullQueue{inner, inner.(persistence.Compacter), &full}, nil
		}
	})
	mustPut(t, q, "t", 3)
	full.Store(true)

	// Who was admitted is refused.
	if _, err := put(t.Context(), q, entry("t", "x")); !errors.Is(err, types.ErrDiskFull) || !errors.Is(err, types.ErrQueueFull) {
		t.Fatalf("Put = %v, want one that says that the disk is full", err)
	}
	if st := q.Status(); st.Trouble == "" || st.Pending != 3 || q.Trouble() != nil {
		t.Errorf("the status is %+v, the trouble %v", st, q.Trouble())
	}
	// Others wait, as at a limit, and learn why if they give up.
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := q.Admission().Acquire(ctx, Cost{Messages: 1, Bytes: 1}); !errors.Is(err, types.ErrDiskFull) || !errors.Is(err, context.Canceled) {
		t.Errorf("Acquire = %v", err)
	}
	room := make(chan error, 1)
	cost := CostOf([]persistence.Entry{entry("t", "y")})
	q.Admission().Notify(cost, func(err error) { room <- err })

	// What is stored is read, settled, noted and cleared.
	if n := len(fetchAll(t, q, 0).Records); n != 3 {
		t.Errorf("%d messages can be read", n)
	}
	q.Tell(Settle{Done: []persistence.Done{{Range: persistence.Range{First: 1, Last: 1}, Reason: types.Sent}}})
	if _, err := Ask(t.Context(), q.Ref, func(r Reply[Noted]) QueueMessage {
		return Note{Marks: []persistence.Mark{{Key: "k", Value: []byte("v")}}, Sync: true, Reply: r}
	}); err != nil {
		t.Errorf("Note = %v", err)
	}
	cleared, err := Ask(t.Context(), q.Ref, func(r Reply[Cleared]) QueueMessage { return Clear{Seq: 2, Reply: r} })
	if err != nil || cleared.Count != 1 {
		t.Errorf("Clear = %+v, %v", cleared, err)
	}
	if st := q.Status(); st.Sent != 1 || st.Cleared != 1 || st.Pending != 1 {
		t.Errorf("the books: %+v", st)
	}

	// It is looked for, and those who wait go on.
	clock.advance(lookForRoom)
	describe(t, q)
	select {
	case err := <-room:
		t.Fatalf("there is room while the disk is full: %v", err)
	default:
	}
	full.Store(false)
	clock.advance(lookForRoom - time.Millisecond)
	if describe(t, q); q.Status().Trouble == "" {
		t.Error("looked for before its time")
	}
	clock.advance(time.Millisecond)
	b.wait(t, "room", func() bool { return q.Status().Trouble == "" })
	if err := receive(t, room, "room"); err != nil {
		t.Fatal(err)
	}
	q.Admission().Release(cost)
	mustPut(t, q, "t", 1)
}
