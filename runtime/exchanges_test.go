package runtime_test

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mqttdb/mqttdb/actors"
	"github.com/mqttdb/mqttdb/config"
	"github.com/mqttdb/mqttdb/persistence/memory"
	"github.com/mqttdb/mqttdb/runtime"
	"github.com/mqttdb/mqttdb/types"
)

// repeats publishes, as the client "pub" with packet id 5, and says whether that was
// there before.
func repeats(t testing.TB, rt *runtime.Runtime) bool {
	t.Helper()
	done := make(chan error, 1)
	taken := rt.RouteAll([]runtime.Passage{{
		Message: types.Message{Topic: "t", Payload: []byte("m"), QoS: 2},
		Origin:  types.Origin{Source: actors.PublishedBy("pub"), ID: 5},
		Once:    &types.Once{Rule: types.Open, Hash: 1, Dup: true},
		Done:    func(err error) { done <- err },
	}}, func() {})
	if taken != 1 {
		t.Fatal("there is no room")
	}
	err := <-done
	if err != nil && !errors.Is(err, types.ErrRepeated) {
		t.Fatal(err)
	}
	return err != nil
}

func expectRepeat(t testing.TB, what string, rt *runtime.Runtime, want bool) {
	t.Helper()
	if got := repeats(t, rt); got != want {
		t.Errorf("%s: a repeat is known %v, want %v", what, got, want)
	}
}

// S2.1: what a client has published is remembered while its session is kept, and not
// much longer.
func TestExchangesEndWithTheSession(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := config.Default()
		rt, err := runtime.Open(t.Context(), runtime.Options{Config: cfg, Durable: memory.New(memory.Options{}), Volatile: memory.New(memory.Options{}), Local: nowhere{}})
		if err != nil {
			t.Fatal(err)
		}
		defer closeRuntime(t, rt)
		reader, err := nowhere{}.Open(t.Context(), rt) // which is there all the time
		if err != nil {
			t.Fatal(err)
		}
		if _, err := reader.Subscribe(t.Context(), []actors.Subscription{{Filter: "#", QoS: 2}}); err != nil {
			t.Fatal(err)
		}
		publisher, err := rt.OpenSession(t.Context(), runtime.SessionOptions{ClientID: "pub", Receiver: taker{}, Window: 10})
		if err != nil {
			t.Fatal(err)
		}
		expectRepeat(t, "the first", rt, false)
		time.Sleep(2 * cfg.SessionExpiry)
		expectRepeat(t, "while the client is there", rt, true)
		publisher.Leave(0, nil, nil)
		time.Sleep(cfg.SessionExpiry - time.Minute)
		expectRepeat(t, "while the session is kept", rt, true)
		time.Sleep(2 * time.Hour)
		synctest.Wait()
		expectRepeat(t, "after it has expired", rt, false)
	})
}

// A queue that was not in use may have missed how an exchange has ended: what it
// remembers does not count.
func TestExchangesOfAQueueThatWasAway(t *testing.T) {
	a, b := config.Connection{Name: "a"}, config.Connection{Name: "b", Forward: []config.Forward{{Topic: "other"}}}
	t.Run("reload", func(t *testing.T) {
		h := newHouse()
		h.broker.Down()
		rt := h.open(t, a, b)
		expectRepeat(t, "the first", rt, false)
		h.mustReload(t, rt, a, b)
		expectRepeat(t, "after a reload that changes nothing", rt, true)
		h.mustReload(t, rt, b)
		h.mustReload(t, rt, a, b)
		expectRepeat(t, "removed and added", rt, false)
	})
	t.Run("restart", func(t *testing.T) {
		h := newHouse()
		h.broker.Down()
		restart := func(connections ...config.Connection) *runtime.Runtime {
			h.store = h.store.Kill()
			return h.open(t, connections...)
		}
		rt := h.open(t, a)
		expectRepeat(t, "the first", rt, false)
		expectRepeat(t, "after a kill", restart(a), true)
		restart(b)
		expectRepeat(t, "an orphan in between", restart(a), false)
	})
	t.Run("not persisted for a while", func(t *testing.T) {
		h := newHouse()
		h.broker.Down()
		restart := func(connections ...config.Connection) *runtime.Runtime {
			h.store = h.store.Kill()
			return h.open(t, connections...)
		}
		off := config.Connection{Name: "a", Persist: config.Persist{Outgoing: config.Off}}
		rt := h.open(t, a)
		expectRepeat(t, "the first", rt, false)
		rt = restart(off)
		if s := rt.Status(); len(s) != 2 || s[1].Name != "a/outgoing" || !s[1].Orphan || s[1].Outgoing.Pending != 1 {
			t.Errorf("what is not sent is not shown: %+v", s)
		}
		rt = restart(a)
		if s := rt.Status(); len(s) != 1 || s[0].Outgoing.Pending != 1 {
			t.Errorf("what was not sent is not there: %+v", s)
		}
		expectRepeat(t, "after it", rt, false)
		rt = restart(b)
		h.mustReload(t, rt, b, off)
		if s := rt.Status(); len(s) != 3 || s[2].Name != "a/outgoing" || !s[2].Orphan {
			t.Errorf("what is not sent is not shown after a reload: %+v", s)
		}
		expectRepeat(t, "after a reload", restart(a), false)
	})
}
