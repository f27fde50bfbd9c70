package crash

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/mqttdb/mqttdb/internal/smalldisk"
	"github.com/mqttdb/mqttdb/types"
)

// smallDisk is how large the disk of the gateway is, in bytes.
const smallDisk = 24 << 20

// Disk full: the disk of the gateway, a real one, is filled again and again, by its
// own messages and by others, under load, and the gateway is killed meanwhile and
// started on a full disk. Nothing that was acknowledged is lost, nothing is
// reordered, and only what was in flight arrives twice (Guarantees 1, 2, 3, 5, 7 and 11).
func TestDiskFull(t *testing.T) {
	if !smalldisk.Alone(t) {
		return
	}
	rng := choices(t)
	disk := smalldisk.Mount(t, smallDisk)
	s := newSceneOn(t, rng.Uint64(), mixed, nil, func(broker string) *gateway {
		return gatewayOn(t, write(t, t.TempDir(), "mqttdb.yaml", fmt.Sprintf(`data_dir: %s
mqtt:
  listen: 127.0.0.1:0
http:
  listen: 127.0.0.1:0
local:
  limits: {min_free_disk: 0}
connections:
  %s:
    broker: %s
    compaction_interval: 1s
    window: %d
    limits: {min_free_disk: 0}
`, disk.Path("data"), connectionName, broker, gatewayWindow)))
	})
	s.gateway.start()
	kills := 0
	for n := range run.cycles {
		if rng.IntN(3) > 0 {
			s.brokerDown()
		} else {
			s.brokerUp()
		}
		s.load.publish(200 + rng.IntN(2000))
		if rng.IntN(2) == 0 { // others take what is left, sooner or later
			moment(odd(rng, 300*time.Millisecond))
			disk.Fill()
			s.load.publish(500)
		} else {
			s.brokerDown()
			s.load.publish(40000)
		}
		s.full(fmt.Sprint("cycle ", n))
		s.load.rest()
		for range rng.IntN(3) {
			kills++
			moment(odd(rng, 300*time.Millisecond))
			s.kill()
			s.reviveFull()
			disk.Fill() // what the start has given back
		}
		if rng.IntN(2) == 0 { // its own messages must make room, with nobody's help
			s.brokerUp()
			s.drainFull()
		} else if rng.IntN(2) == 0 {
			s.brokerUp()
			moment(odd(rng, 300*time.Millisecond))
			kills++
			s.kill()
			s.reviveFull()
		}
		disk.Free()
		s.brokerUp()
		s.drainFull()
		poll(t, 10*time.Millisecond, "room", func() bool { return s.gateway.status().Outgoing.Trouble == "" })
		if testing.Verbose() {
			c := s.ledger.counts()
			t.Logf("cycle %d: acknowledged %d, arrived %d", n+1, c.acked, c.arrivals)
		}
	}
	o := s.end()
	s.check(o)
	t.Log(row("cycles", "kills", "published", "acknowledged", "delivered", "lost", "out of order", "duplicates", "(allowed)", "longest start"))
	t.Log(row(run.cycles, kills, o.published, o.acknowledged, o.delivered, o.lost, o.disordered, o.byGateway, o.allowed, s.gateway.slow.Round(time.Millisecond)))
}

// full waits until the gateway says that its disk is full.
func (s *scene) full(what string) {
	s.t.Helper()
	poll(s.t, 5*time.Millisecond, what+": the disk to be full", func() bool {
		return strings.Contains(s.gateway.status().Outgoing.Trouble, "disk full")
	})
}

// reviveFull is revive on a disk that may be full: the gateway knows what it has.
func (s *scene) reviveFull() {
	s.t.Helper()
	before := s.ledger.counts()
	s.gateway.start()
	q := s.gateway.status().Outgoing
	if q.Unread {
		s.t.Fatalf("SEED=%d: started on a full disk it does not know what it has: %+v\n%s", run.seed, q, s.gateway.log())
	}
	if err := s.fullBooks(q, before); err != nil {
		s.t.Fatalf("SEED=%d: %v\n%s", run.seed, err, s.gateway.log())
	}
}

func (s *scene) fullBooks(q types.QueueStatus, before counts) error {
	if strings.Contains(q.Trouble, "disk full") {
		q.Trouble = ""
	}
	return s.balanced(q, before)
}

// drainFull waits until all is sent that is stored.
func (s *scene) drainFull() {
	s.t.Helper()
	var q types.QueueStatus
	last := time.Now()
	left := q.Pending
	poll(s.t, 10*time.Millisecond, "the queue to be sent", func() bool {
		q = s.gateway.status().Outgoing
		if err := s.fullBooks(q, counts{}); err != nil {
			s.t.Fatalf("SEED=%d: %v\n%s", run.seed, err, s.gateway.log())
		}
		if q.Pending != left {
			last, left = time.Now(), q.Pending
		}
		if time.Since(last) > 20*time.Second {
			s.t.Fatalf("SEED=%d: nothing is sent any more: %+v\n%s", run.seed, s.gateway.status(), s.gateway.log())
		}
		return q.Pending == 0
	})
}
