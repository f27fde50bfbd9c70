//go:build unix

package links_test

import (
	"context"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/mqttdb/mqttdb"
	"github.com/mqttdb/mqttdb/internal/mosquitto"
)

// A network that swallows all that is sent, without a word, is noticed within
// twice the keepalive: by a link that is idle, by one that is publishing, and by
// one whose peer takes no more bytes. Nothing is lost by it.
func TestHalfOpenLinks(t *testing.T) {
	const keepAlive = 2 * time.Second
	const slack = 500 * time.Millisecond // of a busy machine
	tests := []struct {
		name  string
		load  bool
		spoil func(*network, *mosquitto.Broker)
		mend  func(*network, *mosquitto.Broker)
	}{
		{"idle", false, swallow, (*network).healed},
		{"publishing", true, swallow, (*network).healed},
		{"publishing to a broker that has stopped", true, freeze, thaw},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			b := mosquitto.Start(t, mosquitto.WithConfig("max_queued_messages 0"))
			n := newNetwork(t, b.Addr())
			s := subscribe(t, b.Addr(), "t")
			db := open(t, t.TempDir(), mqttdb.ConnectionConfig{Broker: "mqtt://" + n.addr(), KeepAlive: keepAlive})
			await(t, db, "a link", is("online"))
			l := newLoad(t, db)
			l.until(100)
			if !test.load {
				l.stop()
				drain(t, db)
			}
			test.spoil(n, b)
			broken := time.Now()
			status := await(t, db, "the link to be given up", func(s mqttdb.Status) bool { return s.State != "online" })
			took := time.Since(broken)
			t.Logf("noticed after %v: %s", took.Round(time.Millisecond), status.LastError)
			if took > 2*keepAlive+slack {
				t.Errorf("that took %v, twice the keepalive is %v", took, 2*keepAlive)
			}
			test.mend(n, b)
			await(t, db, "a link", is("online"))
			sent := l.stop()
			drain(t, db)
			lost, twice := s.count(t, sent)
			t.Logf("%d sent, %d lost, %d twice", sent, lost, twice)
			if lost > 0 {
				t.Errorf("%d of %d messages are lost", lost, sent)
			}
		})
	}
}

func swallow(n *network, _ *mosquitto.Broker) { n.ail("timeout", `{"timeout": 0}`) }
func (n *network) healed(*mosquitto.Broker)   { n.heal() }
func freeze(_ *network, b *mosquitto.Broker)  { b.Freeze() }
func thaw(_ *network, b *mosquitto.Broker)    { b.Thaw() }

// load publishes "0", "1", … until it is stopped.
type load struct {
	mu      sync.Mutex
	sent    int
	changed *sync.Cond
	cancel  func()
	done    chan struct{}
}

func newLoad(t *testing.T, db *mqttdb.DB) *load {
	ctx, cancel := context.WithCancel(t.Context())
	l := &load{cancel: cancel, done: make(chan struct{})}
	l.changed = sync.NewCond(&l.mu)
	go func() {
		defer close(l.done)
		for i := 0; ctx.Err() == nil; i++ {
			if _, err := db.Connection("cloud").Publish(context.WithoutCancel(ctx), mqttdb.Message{Topic: "t", Payload: []byte(numbers(i, 1)[0]), QoS: 1}); err != nil {
				t.Error(err)
				return
			}
			l.mu.Lock()
			l.sent = i + 1
			l.mu.Unlock()
			l.changed.Broadcast()
		}
	}()
	t.Cleanup(func() { l.stop() })
	return l
}

// until waits until n messages were stored.
func (l *load) until(n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for l.sent < n {
		l.changed.Wait()
	}
}

// sentSoFar is how many messages were stored.
func (l *load) sentSoFar() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.sent
}

// more waits until so many messages more were stored.
func (l *load) more(n int) {
	l.mu.Lock()
	goal := l.sent + n
	l.mu.Unlock()
	l.until(goal)
}

// stop ends it and returns how many messages were stored.
func (l *load) stop() int {
	l.cancel()
	<-l.done
	return l.sent
}

// count waits for the last of n messages of a load, and counts those that never
// came and those that came again.
func (s *subscriber) count(t *testing.T, n int) (lost, twice int) {
	t.Helper()
	s.reaches(t, n)
	return tally(n, s.payloads())
}

// reaches waits for the last of n messages of a load.
func (s *subscriber) reaches(t *testing.T, n int) {
	t.Helper()
	last := numbers(n-1, 1)[0]
	s.until(t, "message "+last, func(got []string) bool { return slices.Contains(got, last) })
}

func tally(n int, lists ...[]string) (lost, twice int) {
	times := make(map[string]int)
	for _, list := range lists {
		for _, p := range list {
			times[p]++
		}
	}
	for _, p := range numbers(0, n) {
		switch k := times[p]; {
		case k == 0:
			lost++
		case k > 1:
			twice += k - 1
		}
	}
	return lost, twice
}
