//go:build unix

package crash

import (
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"testing"
	"time"
)

// kill is a way to choose the moment at which the gateway is killed.
type kill struct {
	name string
	wait func(*scene, *rand.Rand)
}

var kills = []kill{
	{"publishing", whilePublishing},
	{"draining", whileDraining},
	{"compacting", whileCompacting},
	{"starting", whileStarting},
}

// Crash: the gateway is killed at random moments of publishing, draining,
// compacting and starting. Nothing that was acknowledged is lost, nothing is
// reordered, and only what was in flight arrives twice (Guarantees 1, 2, 3, 5
// and 7).
func TestKills(t *testing.T) {
	rng := choices(t)
	s := newScene(t, rng.Uint64(), mixed, nil)
	s.gateway.start()
	done := make(map[string]int)
	for n := range run.kills {
		how := kills[rng.IntN(len(kills))]
		if n < len(kills) {
			how = kills[n] // each at least once
		}
		how.wait(s, rng)
		s.kill()
		if n == run.kills-1 {
			s.brokerUp() // so that the last start finds it at once
		}
		s.revive()
		done[how.name]++
		if testing.Verbose() {
			q, c := s.gateway.status().Outgoing, s.ledger.counts()
			t.Logf("kill %d %s: acknowledged %d, arrived %d, pending %d", n+1, how.name, c.acked, c.arrivals, q.Pending)
		}
	}
	s.load.publish(100)
	o := s.end()
	s.check(o)
	t.Logf("kills while %v; mosquitto repeated %d", done, s.subscriber.again)
	t.Log(row("kills", "published", "acknowledged", "delivered", "lost", "out of order", "duplicates", "(allowed)", "of publishers", "longest start"))
	t.Log(row(run.kills, o.published, o.acknowledged, o.delivered, o.lost, o.disordered, o.byGateway, o.allowed, o.byPublishers, s.gateway.slow.Round(time.Millisecond)))
}

// row is a row of a table.
func row(cells ...any) string {
	var b strings.Builder
	for _, c := range cells {
		fmt.Fprintf(&b, "| %13v ", c)
	}
	return b.String() + "|"
}

// whilePublishing waits for some acknowledgements, mostly with the broker down.
func whilePublishing(s *scene, rng *rand.Rand) {
	if rng.IntN(3) > 0 {
		s.brokerDown()
	}
	n := 500 + rng.IntN(2500)
	s.load.publish(n)
	s.acked(1 + rng.IntN(n))
	moment(odd(rng, 3*time.Millisecond))
}

// whileDraining waits for some arrivals.
func whileDraining(s *scene, rng *rand.Rand) {
	s.brokerUp()
	if s.gateway.status().Outgoing.Pending < 1500 {
		s.load.publish(2000)
	}
	s.arrived(1 + rng.IntN(1400))
	moment(odd(rng, 3*time.Millisecond))
}

// whileCompacting publishes until segments are full, sent, and one is removed by
// the compactor, which works once a second; or until it is at work the next time.
func whileCompacting(s *scene, rng *rand.Rand) {
	s.brokerUp()
	known := s.segments()
	poll(s.t, time.Millisecond, "a segment to be removed", func() bool {
		if c := s.ledger.counts(); c.acked-c.arrivals < 1000 { // the broker keeps up
			s.load.publish(100)
		}
		now := s.segments()
		for name := range known {
			if !now[name] {
				return true
			}
		}
		known = now
		return false
	})
	if rng.IntN(2) == 0 {
		s.load.publish(5000)
		moment(time.Second - 10*time.Millisecond)
	}
	moment(odd(rng, 20*time.Millisecond))
}

// whileStarting kills the gateway before it has started, and lets it start.
func whileStarting(s *scene, rng *rand.Rand) {
	s.load.publish(300)
	s.kill()
	p := s.gateway.launch()
	select {
	case <-p.announced:
	case <-time.After(odd(rng, 60*time.Millisecond)):
	}
}

func odd(rng *rand.Rand, most time.Duration) time.Duration {
	return time.Duration(rng.Int64N(int64(most)))
}

// segments are the names of the data files.
func (s *scene) segments() map[string]bool {
	entries, err := os.ReadDir(s.gateway.queueDir())
	if err != nil {
		s.t.Fatal(err)
	}
	names := make(map[string]bool)
	for _, e := range entries {
		if strings.HasSuffix(e.Name(), ".dat") {
			names[e.Name()] = true
		}
	}
	return names
}
