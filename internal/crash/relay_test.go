//go:build unix

package crash

import (
	"context"
	"fmt"
	"testing"

	"github.com/mqttdb/mqttdb/internal/mosquitto"
)

// newRelayScene is a scene in which the load goes to another mosquitto, whose
// messages the gateway relays.
func newRelayScene(t testing.TB, seed uint64) *scene {
	t.Helper()
	s := &scene{t: t, ledger: newLedger(topicCount), up: true}
	unlimited := mosquitto.WithConfig("max_queued_messages 0", "max_inflight_messages 40")
	source := mosquitto.Start(t, unlimited)
	s.broker = mosquitto.Start(t, unlimited)
	s.subscriber = subscribe(t, s.ledger, s.broker.Addr())
	s.gateway = gatewayOn(t, write(t, t.TempDir(), "mqttdb.yaml", fmt.Sprintf(`
data_dir: data
mqtt: {listen: "127.0.0.1:0"}
http: {listen: "127.0.0.1:0"}
connections:
  source:
    broker: mqtt://%s
    forward: []
    subscribe: [{topic: "#"}]
  %s:
    broker: mqtt://%s
    window: %d
    forward: [{topic: "#", relay: true}]
`, source.Addr(), connectionName, s.broker.Addr(), gatewayWindow)))
	s.gateway.start()
	s.linked(source)
	s.load = startLoad(t, s.ledger, seed, small, func(context.Context) (string, error) { return source.Addr(), nil })
	return s
}

// linked waits until what is published at the source arrives at the far end: the
// gateway has subscribed.
func (s *scene) linked(source *mosquitto.Broker) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	c, _, err := connect(ctx, source.Addr(), "probe", true)
	if err != nil {
		s.t.Fatal(err)
	}
	defer c.Close()
	for len(s.subscriber.specials()) == 0 {
		next := s.ledger.changed.next()
		if _, err := c.ask(publishPacket("probe", nil, 1), pubackType); err != nil {
			s.t.Fatal(err)
		}
		select {
		case <-next:
		case <-ctx.Done():
			s.t.Fatalf("nothing is relayed:\n%s", s.gateway.log())
		default:
		}
	}
}

// Crash: the gateway is killed again and again while it relays from one broker to
// another. What the first has acknowledged to its publishers arrives at the
// second, in order (S2.4, S6.2). How much comes twice is up to the first: mosquitto
// 2.0 sends far more than max_inflight_messages to a client that came back to a
// backlog (each PUBACK releases 40 messages here), and all of it again after a kill.
func TestRelayKills(t *testing.T) {
	rng := choices(t)
	s := newRelayScene(t, rng.Uint64())
	kills := max(run.kills/2, 3)
	for range kills {
		n := 1000 + rng.IntN(3000)
		s.load.publish(n)
		goal := s.ledger.judge().delivered + 1 + rng.IntN(n)
		s.await("some messages to arrive for the first time", func(counts) bool { return s.ledger.judge().delivered >= goal })
		s.gateway.kill()
		s.gateway.start()
	}
	s.await("everything to be published and acknowledged", func(c counts) bool {
		begun, done := s.load.done()
		return done && c.published == begun && c.acked == begun
	})
	await(t, &s.ledger.changed, "everything to arrive", func() bool {
		v := s.ledger.judge()
		return v.delivered+v.disordered+v.corrupt >= v.published
	})
	v := s.ledger.judge()
	if !v.good() || v.delivered != v.published {
		t.Errorf("SEED=%d: %+v\n%s\n%s", run.seed, v, s.ledger.complaints(), s.gateway.log())
	}
	t.Log(row("kills", "published", "delivered", "lost", "out of order", "duplicates", "longest start"))
	t.Log(row(kills, v.published, v.delivered, v.lost, v.disordered, v.duplicates, s.gateway.slow))
}
