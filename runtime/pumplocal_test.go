package runtime_test

import (
	"fmt"
	goruntime "runtime"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/mqttdb/mqttdb/runtime"
	"github.com/mqttdb/mqttdb/types"
)

// witness is a local broker that notes what it is told, in order.
type witness struct {
	mu   sync.Mutex
	told []string
}

func (w *witness) Counts(types.Message) bool { return true }

func (w *witness) Deliver(m types.Message) { w.note("live " + string(m.Payload)) }

func (w *witness) Retain(seq types.Seq, m types.Message, _ time.Time) []types.Seq {
	w.note(fmt.Sprint("retained ", string(m.Payload)))
	return nil
}

func (w *witness) note(what string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.told = append(w.told, what)
}

func (w *witness) is() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.told)
}

// S4.3, S5.3: what comes in and is to be retained is so before anybody gets it live, in
// order; after a crash it is retained once, and not handed out again.
func TestIncomingRetainedMessages(t *testing.T) {
	r := newRelay(t)
	w := &witness{}
	r.local = w
	r.start()
	done := func(n uint64) {
		t.Helper()
		await(t, r.rt, "all to be done", func(l []types.Status) bool { return l[0].Incoming.Sent == n })
	}
	// A retained message comes with its flag to who subscribes after it.
	r.brokers["a"].Publish(types.Message{Topic: "late/1", Payload: []byte("kept"), QoS: 1, Retain: true})
	r.publish(1, 1)
	done(1)
	mustSubscribe(t, r.rt, runtime.SubscribeOptions{Filters: []string{"late/#"}})
	done(2)
	r.publish(2, 2)
	done(3)
	if got, want := w.is(), []string{"live 1", "retained kept", "live kept", "live 2"}; !slices.Equal(got, want) {
		t.Errorf("told %q, want %q", got, want)
	}
	for i := range uint64(3) {
		w = &witness{}
		r.local = w
		r.kill(r.store.Kill())
		r.publish(int(i)+3, int(i)+3)
		done(i + 4)
		if got, want := w.is(), []string{"retained kept", fmt.Sprint("live ", i+3)}; !slices.Equal(got, want) {
			t.Errorf("after a kill: told %q, want %q", got, want)
		}
	}
}

// Close ends everything, also with subscriptions that nobody closed and targets that
// take nothing: no actor and no goroutine is left.
func TestCloseEndsPumpsAndSubscriptions(t *testing.T) {
	settled := func() int {
		for range 100 {
			goruntime.Gosched()
		}
		return goruntime.NumGoroutine()
	}
	before := settled()
	for range 3 {
		r := newRelay(t, "b", "c")
		r.local = nowhere{}
		r.start()
		r.session()
		named := mustSubscribe(t, r.rt, runtime.SubscribeOptions{Name: "n", Filters: []string{"in/#"}})
		live := mustSubscribe(t, r.rt, runtime.SubscribeOptions{Filters: []string{"in/#"}})
		r.publish(1, 500)
		next(t, named, "1")
		next(t, live, "1")
		if err := r.rt.Kill("mqttdb/a/to/b"); err != nil {
			t.Fatal(err)
		}
		var wg sync.WaitGroup
		for _, s := range []*runtime.Subscription{named, live} {
			wg.Go(func() {
				for range s.All(t.Context()) { // ends with Close
				}
			})
		}
		r.close()
		wg.Wait()
		if left := r.rt.Running(); len(left) > 0 {
			t.Errorf("these run: %q", left)
		}
	}
	settle(t, before+2)
}
