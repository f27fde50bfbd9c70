package runtime_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mqttdb/mqttdb/actors"
	"github.com/mqttdb/mqttdb/config"
	"github.com/mqttdb/mqttdb/persistence/memory"
	"github.com/mqttdb/mqttdb/runtime"
	"github.com/mqttdb/mqttdb/types"
)

// nowhere is a local broker with no clients.
type nowhere struct{}

func (nowhere) Deliver(types.Message)                                         {}
func (nowhere) Counts(types.Message) bool                                     { return true }
func (nowhere) Retain(types.Seq, types.Message, time.Time) (done []types.Seq) { return nil }
func (nowhere) Recall() types.Seq                                             { return 0 }
func (nowhere) Ended(error)                                                   {}
func (nowhere) Open(ctx context.Context, rt *runtime.Runtime) (*runtime.Session, error) {
	return rt.OpenSession(ctx, runtime.SessionOptions{ClientID: "c", Receiver: taker{}, Window: 10})
}

// taker takes messages and acknowledges none.
type taker struct{ nowhere }

func (taker) Deliver([]actors.Delivery, types.Seq) {}

// S5.4: a session whose client stays away is there after 25 hours, and is not after
// session_expiry, of which time counts when nothing runs, too.
func TestSessionExpiry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx := t.Context()
		store := memory.New(memory.Options{})
		start := func() *runtime.Runtime {
			t.Helper()
			cfg := config.Default()
			rt, err := runtime.Open(ctx, runtime.Options{Config: cfg, Durable: store, Volatile: memory.New(memory.Options{}), Local: nowhere{}})
			if err != nil {
				t.Fatal(err)
			}
			return rt
		}
		pending := func(rt *runtime.Runtime, want uint64) {
			t.Helper()
			synctest.Wait()
			if got := rt.Status()[0].Outgoing.Pending; got != want {
				t.Fatalf("%d messages are pending, want %d", got, want)
			}
		}
		rt := start()
		s, err := nowhere{}.Open(ctx, rt)
		if err != nil || s.Present {
			t.Fatal(s, err)
		}
		if _, err := s.Subscribe(ctx, []actors.Subscription{{Filter: "#", QoS: 1}}); err != nil {
			t.Fatal(err)
		}
		s.Leave(0, nil, nil)
		done := make(chan error, 1)
		rt.Route(types.Message{Topic: "t", QoS: 1}, types.Origin{}, func(err error) { done <- err }, func() {})
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		time.Sleep(25 * time.Hour)
		pending(rt, 1)
		if s, err = (nowhere{}).Open(ctx, rt); err != nil || !s.Present {
			t.Fatal(s, err)
		}
		s.Leave(0, nil, nil)
		time.Sleep(100 * time.Hour)
		pending(rt, 1)
		next := store.Kill() // it does not run for 60 hours
		_ = rt.Close(ctx)    // what it could still say is lost
		store = next
		time.Sleep(60 * time.Hour)
		rt = start()
		time.Sleep(8*time.Hour - time.Second)
		pending(rt, 1)
		time.Sleep(time.Second)
		pending(rt, 0)
		if s, err = (nowhere{}).Open(ctx, rt); err != nil || s.Present {
			t.Fatal(s, err)
		}
		if err := rt.Close(ctx); err != nil {
			t.Fatal(err)
		}
	})
}
