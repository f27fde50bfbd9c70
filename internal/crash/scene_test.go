//go:build unix

package crash

import (
	"context"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/mqttdb/mqttdb/internal/mosquitto"
	"github.com/mqttdb/mqttdb/types"
)

// gatewayWindow is how many messages the gateways of these tests have in flight.
const gatewayWindow = 50

// scene is what a load test plays on: publishers, the gateway, mosquitto, and a
// subscriber at its far end.
type scene struct {
	t          testing.TB
	broker     *mosquitto.Broker
	gateway    *gateway
	ledger     *ledger
	subscriber *subscriber
	load       *load

	up        bool // the broker
	incidents int  // after which the gateway may send what was in flight again
	others    int  // messages that were published besides the load
}

// newScene starts all of it but the gateway; through says how the load reaches
// that, nil: directly.
func newScene(t testing.TB, seed uint64, sizes func(*rand.Rand) int, through func(*gateway) func(context.Context) (string, error)) *scene {
	t.Helper()
	return newSceneOn(t, seed, sizes, through, func(broker string) *gateway {
		return newGateway(t, broker, "compaction_interval: 1s", fmt.Sprint("window: ", gatewayWindow))
	})
}

// newSceneOn is newScene with a gateway of its own.
func newSceneOn(t testing.TB, seed uint64, sizes func(*rand.Rand) int, through func(*gateway) func(context.Context) (string, error), made func(broker string) *gateway) *scene {
	t.Helper()
	s := &scene{t: t, ledger: newLedger(topicCount), up: true}
	s.broker = mosquitto.Start(t, mosquitto.WithConfig(
		"persistence true", "persistence_location "+t.TempDir()+"/", "autosave_interval 0",
		"max_queued_messages 0", "max_inflight_messages 1000"))
	s.subscriber = subscribe(t, s.ledger, s.broker.Addr())
	s.gateway = made("mqtt://" + s.broker.Addr())
	target := s.gateway.target
	if through != nil {
		target = through(s.gateway)
	}
	s.load = startLoad(t, s.ledger, seed, sizes, target)
	return s
}

// brokerUp starts the broker if it is down.
func (s *scene) brokerUp() {
	s.t.Helper()
	if !s.up {
		s.broker.Restart()
		s.up = true
	}
}

// brokerDown ends the broker in good order, so that it forgets nothing.
func (s *scene) brokerDown() {
	if s.up {
		s.broker.Stop()
		s.up = false
		s.incidents++
	}
}

// kill kills the gateway. Without the broker nothing of it was in flight.
func (s *scene) kill() {
	s.gateway.kill()
	if s.up {
		s.incidents++
	}
}

// revive starts the gateway and checks its books.
func (s *scene) revive() {
	s.t.Helper()
	before := s.ledger.counts()
	s.gateway.start()
	if _, err := s.audit(before); err != nil {
		s.t.Fatalf("SEED=%d: %v\n%s", run.seed, err, s.gateway.log())
	}
}

// audit holds the status against the ledger; before is what that said at a
// moment that has passed. Guarantee 7: the books balance, also across restarts.
func (s *scene) audit(before counts) (types.QueueStatus, error) {
	s.t.Helper()
	q := s.gateway.status().Outgoing
	return q, s.balanced(q, before)
}

// balanced is audit for what a status has said.
func (s *scene) balanced(q types.QueueStatus, before counts) error {
	sum := q.Sent + q.Dropped + q.Expired + q.Cleared + q.Dead + q.Quarantined + q.Pending
	now := s.ledger.counts()
	switch {
	case q.Accepted != sum:
		return fmt.Errorf("the books do not balance: accepted %d, all others together %d: %+v", q.Accepted, sum, q)
	case q.Dropped+q.Expired+q.Cleared+q.Dead+q.Quarantined > 0 || q.DuplicatesPossible || q.Trouble != "":
		return fmt.Errorf("the queue says that something went wrong: %+v", q)
	case q.Accepted < uint64(before.acked+s.others):
		return fmt.Errorf("%d messages were acknowledged, and %d are in the books: %+v", before.acked+s.others, q.Accepted, q)
	case q.Accepted > uint64(now.sends+s.others):
		return fmt.Errorf("%d messages were sent, and %d are in the books: %+v", now.sends+s.others, q.Accepted, q)
	}
	return nil
}

// acked waits until so many more messages are acknowledged.
func (s *scene) acked(more int) {
	s.t.Helper()
	goal := s.ledger.counts().acked + more
	s.await(fmt.Sprintf("%d acknowledgements more", more), func(c counts) bool { return c.acked >= goal })
}

// arrived waits until so many more messages have arrived.
func (s *scene) arrived(more int) {
	s.t.Helper()
	goal := s.ledger.counts().arrivals + more
	s.await(fmt.Sprintf("%d arrivals more", more), func(c counts) bool { return c.arrivals >= goal })
}

func (s *scene) await(what string, condition func(counts) bool) {
	s.t.Helper()
	await(s.t, &s.ledger.changed, what, func() bool {
		if complaints := s.ledger.complaints(); complaints != "" {
			s.t.Fatalf("%s%s", complaints, s.gateway.log())
		}
		return condition(s.ledger.counts())
	})
}

// sentinel is published at the very end, past the gateway: when it arrives,
// nothing is on its way any more, for a broker keeps the order.
const sentinel = "end/of/test"

// drain waits until the gateway has nothing left to send and all that it sent
// has arrived, and returns what its books say.
func (s *scene) drain() types.QueueStatus {
	s.t.Helper()
	var q types.QueueStatus
	poll(s.t, 20*time.Millisecond, "the queue to be empty", func() bool {
		var err error
		if q, err = s.audit(counts{}); err != nil {
			s.t.Fatalf("SEED=%d: %v\n%s", run.seed, err, s.gateway.log())
		}
		return q.Pending == 0
	})
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	c, _, err := connect(ctx, s.broker.Addr(), "sentinel", true)
	if err != nil {
		s.t.Fatal(err)
	}
	defer c.Close()
	if _, err := c.ask(publishPacket(sentinel, nil, 1), pubackType); err != nil {
		s.t.Fatal(err)
	}
	await(s.t, &s.ledger.changed, "the last message", func() bool {
		special := s.subscriber.specials()
		return len(special) > 0 && special[len(special)-1].topic == sentinel
	})
	return q
}

// outcome is what a load test found.
type outcome struct {
	verdict
	byGateway    int // messages that the gateway sent more than once
	byPublishers int // messages that publishers sent more than once, and the gateway took
	allowed      int // of those by the gateway
}

// end finishes a load test: everything is published, acknowledged, drained and
// judged.
func (s *scene) end() outcome {
	s.t.Helper()
	s.await("all that was published to be acknowledged", func(c counts) bool {
		begun, done := s.load.done()
		return done && c.published == begun && c.acked == begun
	})
	q := s.drain()
	o := outcome{verdict: s.ledger.judge()}
	others := len(s.subscriber.specials()) - 1 // without the sentinel
	o.duplicates += others - s.others
	o.byGateway = s.ledger.counts().arrivals + others - int(q.Accepted)
	o.byPublishers = o.duplicates - o.byGateway
	o.allowed = gatewayWindow * s.incidents
	return o
}

// check is what every load test demands.
func (s *scene) check(o outcome) {
	s.t.Helper()
	switch {
	case !o.good():
		s.t.Errorf("SEED=%d: %+v\n%s", run.seed, o, s.ledger.complaints())
	case o.delivered != o.published || o.acknowledged != o.published:
		s.t.Errorf("SEED=%d: not everything that was published was acknowledged and delivered: %+v", run.seed, o)
	case o.byGateway < 0 || o.byPublishers < 0:
		s.t.Errorf("SEED=%d: fewer messages arrived than the gateway accepted: %+v", run.seed, o)
	case o.byGateway > o.allowed: // Guarantee 5
		s.t.Errorf("SEED=%d: the gateway sent more messages twice than were in flight: %+v", run.seed, o)
	}
	if s.t.Failed() {
		s.t.Logf("the gateway's log:\n%s", s.gateway.log())
	}
}
