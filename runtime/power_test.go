package runtime_test

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/mqttdb/mqttdb/broker/loopback"
	"github.com/mqttdb/mqttdb/config"
	"github.com/mqttdb/mqttdb/runtime"
)

// Guarantee 2: power loss. The store forgets, tears and reorders what was
// written since its last sync; nothing acknowledged under always may be among
// it, and under an interval nothing that was acknowledged longer ago than that.
func TestPowerCut(t *testing.T) {
	const slack = 200 * time.Millisecond // of the machine, which is busy
	for _, c := range []struct {
		name  string
		sync  config.Sync
		late  time.Duration // what was acknowledged so long before the cut must be there
		loses bool          // the control: what is not synced is lost, and seen to be
	}{
		{"always", config.Always, 0, false},
		{"300ms", config.Interval(300 * time.Millisecond), 300*time.Millisecond + slack, false},
		{"never", config.Never, 0, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := newHouse()
			r := rand.New(rand.NewPCG(1, 2))
			lost := 0
			// A cut may take nothing: the control goes on until one does.
			for round := 0; round < 3 || c.loses && lost == 0 && round < 30; round++ {
				h.broker = loopback.New(1)
				h.broker.Down()
				rt := h.open(t, config.Connection{Name: "cloud", Sync: c.sync, CompactionInterval: time.Second})
				acknowledged := publishUntil(t, rt.Connection("cloud"), round, c.late*5/4+time.Duration(r.Int64N(int64(50*time.Millisecond))))
				cut := time.Now()
				h.store = h.store.PowerCut(r) // the runtime above loses its store in that moment
				after := h.open(t, config.Connection{Name: "cloud", Sync: c.sync})
				h.broker.Up()
				if err := after.Drain(t.Context()); err != nil {
					t.Fatal(err)
				}
				closeRuntime(t, after)
				present := map[string]bool{}
				for _, p := range h.payloads() {
					present[p] = true
				}
				for payload, at := range acknowledged {
					if !present[payload] && cut.Sub(at) >= c.late {
						lost++
					}
				}
				if len(acknowledged) == 0 {
					t.Error("nothing was acknowledged")
				}
			}
			if lost > 0 != c.loses {
				t.Errorf("%d acknowledged messages are lost", lost)
			}
		})
	}
}

// publishUntil publishes from several goroutines for so long, and returns when
// each message was acknowledged.
func publishUntil(t *testing.T, conn *runtime.Connection, round int, d time.Duration) map[string]time.Time {
	acknowledged := make(map[string]time.Time)
	var mu sync.Mutex
	end := time.After(d)
	stop := make(chan struct{})
	go func() { <-end; close(stop) }()
	var wg sync.WaitGroup
	for g := range 2 {
		wg.Go(func() {
			for i := 0; ; i++ {
				select {
				case <-stop:
					if i > 0 {
						return
					}
				default:
				}
				payload := fmt.Sprintf("%d/%d/%d", round, g, i)
				if _, err := conn.Publish(t.Context(), message("t", payload)); err != nil {
					t.Errorf("publish: %v", err)
					return
				}
				mu.Lock()
				acknowledged[payload] = time.Now()
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	return acknowledged
}
