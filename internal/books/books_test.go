package books

import (
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mqttdb/mqttdb/actors"
	"github.com/mqttdb/mqttdb/broker/loopback"
)

// history is one random history. It returns what is wrong with the books, and what was
// done until then.
func history(t *testing.T, seed uint64, disk bool, flaw func(stored) stored) (wrong, events []string) {
	if disk {
		// NutsDB leaves a goroutine behind in each database that is closed.
		defer func() {
			if left, ok := recover().(error); ok && !strings.Contains(left.Error(), "blocked goroutines remain") {
				panic(left)
			}
		}()
	}
	synctest.Test(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(seed, 11))
		g := &gateway{t: t, r: r, broker: loopback.New(seed), flaw: flaw, ledger: newLedger(time.Now()), verbose: os.Getenv("VERBOSE") != ""}
		g.pass = func(d time.Duration) {
			time.Sleep(d)
			synctest.Wait()
		}
		g.sync = []time.Duration{0, 0, 500 * time.Millisecond, -1}[r.IntN(4)]
		if disk {
			g.medium = newOnDisk(t, r, g.sync != 0)
		} else {
			g.medium = newInMemory(r, g.sync != 0)
		}
		defer g.medium.close()
		g.broker.Reorder(r.IntN(2) == 0)
		g.attempts = 2 + r.IntN(6)
		g.draw()
		for lives := 2 + r.IntN(5); lives > 0 && len(g.ledger.wrong) == 0; lives-- {
			g.live(disk)
		}
		if len(g.ledger.wrong) == 0 {
			g.drain()
		}
		wrong, events = g.ledger.wrong, g.events
	})
	return wrong, events
}

// live is one life of the process, and what comes after it.
func (g *gateway) live(disk bool) {
	g.happened("start: sync %v, max_age %v, keep_sent %v, limits %+v", g.sync, g.maxAge, g.keep, g.limits)
	g.mu.Lock()
	g.enter()
	g.mu.Unlock()
	if err := g.start(); err != nil {
		g.t.Error(err)
		return
	}
	g.audit() // what is said now was there before
	if len(g.ledger.wrong) == 0 && g.r.IntN(8) > 0 {
		if err := g.connect(); err != nil {
			g.t.Error(err)
		}
	}
	var power *rand.Rand
	if !disk && g.sync == 0 && g.r.IntN(3) == 0 {
		power = g.r
	}
	if g.r.IntN(2) == 0 {
		g.process.die(1+g.r.IntN(150), power)
	}
	for phases := 1 + g.r.IntN(5); phases > 0 && !g.process.isDead() && len(g.ledger.wrong) == 0; phases-- {
		for range 1 + g.r.IntN(20) {
			g.act()
		}
		g.audit()
	}
	if g.r.IntN(2) == 0 {
		g.process.die(0, power)
	}
	g.stop()
	if g.process.isDead() {
		g.happened("it dies, power cut %t", g.process.power != nil)
		g.ledger.power = g.process.power != nil
		g.ledger.unsure = true
		if g.process.err != nil {
			g.t.Error(g.process.err)
		}
	} else {
		g.happened("it is stopped")
	}
	if g.r.IntN(3) == 0 {
		what, err := g.medium.damage(g.r)
		if err != nil {
			g.t.Error(err)
		}
		g.happened("damage: %s", what)
		g.ledger.damaged = what
	}
}

// drain has everything leave, and compares the books for the last time, also after
// another start.
func (g *gateway) drain() {
	g.happened("drain")
	g.limits, g.maxAge, g.attempts = actors.Limits{}, 0, -1
	g.broker.Up()
	g.broker.Thaw()
	g.broker.Withhold(false)
	g.broker.CutAfter(0)
	g.broker.Reject("")
	for range 2 {
		g.mu.Lock()
		g.enter()
		g.mu.Unlock()
		if err := g.start(); err != nil {
			g.t.Error(err)
			return
		}
		g.audit()
		if err := g.connect(); err != nil {
			g.t.Error(err)
			return
		}
		for i := 0; g.queue.State().Pending() > 0; i++ {
			if i == 10_000 {
				g.ledger.says("%d do not leave", g.queue.State().Pending())
				break
			}
			g.pass(10 * time.Millisecond)
		}
		g.audit()
		g.compact()
		g.audit()
		g.stop()
	}
}

// TestBooks plays random histories. HISTORIES=1000 plays so many, SEED=5 begins with
// the 5th.
func TestBooks(t *testing.T) {
	number := func(name string, otherwise uint64) uint64 {
		n, err := strconv.ParseUint(os.Getenv(name), 10, 64)
		if err != nil {
			return otherwise
		}
		return n
	}
	first := number("SEED", 0)
	for _, m := range []struct {
		name  string
		disk  bool
		seeds uint64
	}{{"in memory", false, 16}, {"on disk", true, 4}} {
		t.Run(m.name, func(t *testing.T) {
			for seed := first; seed < first+number("HISTORIES", m.seeds); seed++ {
				if wrong, events := history(t, seed, m.disk, nil); len(wrong) > 0 {
					t.Errorf("SEED=%d: %s\nafter\n  %s", seed, strings.Join(wrong, "\n  "), strings.Join(events, "\n  "))
				}
			}
		})
	}
}
