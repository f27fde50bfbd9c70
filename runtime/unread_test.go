package runtime_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/mqttdb/mqttdb/persistence"
	"github.com/mqttdb/mqttdb/runtime"
	"github.com/mqttdb/mqttdb/types"
)

// shut is a store that cannot be opened until it is let go, as one on a full disk.
type shut struct {
	persistence.Store
	open atomic.Bool
}

func (s *shut) Open(ctx context.Context, name string) (persistence.Queue, error) {
	if !s.open.Load() {
		return nil, &types.StoreError{Op: "open", Queue: name, Err: errors.New("no space left on device"), Hint: "free space"}
	}
	return s.Store.Open(ctx, name)
}

// What could not be read is not empty: whoever deletes a store when it is drained
// would delete what nobody has seen.
func TestDrainOfWhatCannotBeRead(t *testing.T) {
	h := newHouse()
	store := &shut{Store: h.store}
	o := h.optionsFor(t, store)
	rt, err := runtime.Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closeRuntime(t, rt) })
	conn := rt.Connection("cloud")
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	var why *types.StoreError
	if err := conn.Drain(ctx); !errors.Is(err, context.DeadlineExceeded) || !errors.As(err, &why) {
		t.Errorf("drained with %v", err)
	}
	if st := conn.Status().Outgoing; !st.Unread || st.Trouble == "" {
		t.Errorf("the status is %+v", st)
	}
	store.open.Store(true)
	ctx, cancel = context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	if err := conn.Drain(ctx); err != nil {
		t.Error(err)
	}
	if st := conn.Status().Outgoing; st.Unread || st.Trouble != "" {
		t.Errorf("the status is %+v", st)
	}
}
