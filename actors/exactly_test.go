package actors

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/mqttdb/mqttdb/broker"
	"github.com/mqttdb/mqttdb/broker/loopback"
	"github.com/mqttdb/mqttdb/persistence"
	"github.com/mqttdb/mqttdb/types"
)

// gateway is a connection whose process dies, with what its disk keeps of it.
type gateway struct {
	t      testing.TB
	sys    *System
	store  *testStore
	broker *loopback.Broker
	bell   *bell
	change func(*QueueConfig, *ConnectionConfig)
	flaw   func(persistence.Queue) persistence.Queue // nil: none

	queue *Queue
	conn  *Connection
}

func newGateway(t testing.TB, change func(*QueueConfig, *ConnectionConfig)) *gateway {
	t.Helper()
	if change == nil {
		change = func(*QueueConfig, *ConnectionConfig) {}
	}
	g := &gateway{t: t, sys: newTestSystem(t), store: newTestStore(), broker: loopback.New(1), bell: newBell(), change: change}
	t.Cleanup(g.stop)
	return g
}

// start starts the process.
func (g *gateway) start() {
	g.t.Helper()
	opener := g.store.opener("cloud/outgoing")
	c := QueueConfig{
		Name: "cloud/outgoing", Changed: g.bell.ring, ReopenAfter: 2 * time.Millisecond,
		Open: func(ctx context.Context) (persistence.Queue, error) {
			q, err := opener(ctx)
			if err == nil && g.flaw != nil {
				q = g.flaw(q)
			}
			return q, err
		},
	}
	g.change(&c, &ConnectionConfig{})
	var err error
	if g.queue, err = SpawnQueue(g.sys, c); err != nil {
		g.t.Fatal(err)
	}
	g.connect()
}

// connect starts the connection.
func (g *gateway) connect() {
	g.t.Helper()
	c := ConnectionConfig{
		Name: "cloud", Brokers: []Broker{{Name: "mqtt://a", Dialer: g.broker}}, MaxQoS: 2, QoS2Window: 5, Window: 8, MaxAttempts: -1, Changed: g.bell.ring,
		Options: func(context.Context) (broker.ConnectOptions, error) {
			return broker.ConnectOptions{ClientID: clientID, Protocol: broker.MQTT311}, nil
		},
		Backoff: Backoff{First: time.Millisecond, Max: 2 * time.Millisecond},
	}
	g.change(&QueueConfig{}, &c)
	c.Queue = g.queue
	var err error
	if g.conn, err = SpawnConnection(g.sys, c); err != nil {
		g.t.Fatal(err)
	}
}

// die ends the process: what it wrote is there, or after a power cut what it had
// synced and an arbitrary part of the rest. From then on it can commit nothing.
func (g *gateway) die(power *rand.Rand) {
	g.t.Helper()
	after := newTestStore()
	g.store.set(func(s *testStore) { s.onOpen = func() error { return errors.New("the process has died") } })
	if power != nil {
		after.Store = g.store.PowerCut(power)
	} else {
		after.Store = g.store.Kill()
	}
	g.broker.Cut()
	g.stop()
	g.store = after
}

func (g *gateway) stop() {
	if g.conn != nil {
		stop(g.t, g.conn.Ref)
		stop(g.t, g.queue.Ref)
	}
	g.conn, g.queue = nil, nil
}

// put stores messages with these payloads.
func (g *gateway) put(qos types.QoS, payloads ...string) {
	g.t.Helper()
	for _, p := range payloads {
		e := entry("t", p)
		e.Message.QoS = qos
		if _, err := g.queue.Put(g.t.Context(), []persistence.Entry{e}); err != nil {
			g.t.Fatal(err)
		}
	}
}

func (g *gateway) drained() {
	g.t.Helper()
	g.bell.wait(g.t, "an empty queue", func() bool { return !g.queue.Unread() && g.queue.State().Pending() == 0 && g.queue.Trouble() == nil })
}

// arrived is what the broker got, in its order.
func (g *gateway) arrived() (list []string) {
	for _, m := range g.broker.Published() {
		list = append(list, string(m.Payload))
	}
	return list
}

// The crash points of a message with QoS 2, one after the other: the process, or
// the power, dies there. It arrives once, and the next ones arrive [S3.2].
func TestCrashPointsOfQoS2(t *testing.T) {
	type point struct {
		name string
		set  func(g *gateway, reached func()) // lets the process come to that point
	}
	once := func(f func()) func() {
		did := false
		return func() {
			if !did {
				did = true
				f()
			}
		}
	}
	onCommit := func(g *gateway, is func(persistence.Commit) bool, do func() error) {
		g.store.set(func(s *testStore) {
			s.onWrit = func(c persistence.Commit) error {
				if is(c) {
					return do()
				}
				return nil
			}
		})
	}
	releases := func(c persistence.Commit) bool { return len(c.Released) > 0 }
	finishes := func(c persistence.Commit) bool { return len(c.Done) > 0 }
	points := []point{
		{"PUBLISH is sent, PUBREC does not come", func(g *gateway, reached func()) {
			g.broker.Withhold(true)
			go func() {
				if g.broker.WaitFor(context.Background(), 1) == nil {
					reached()
				}
			}()
		}},
		{"PUBREC came and is not journalled", func(g *gateway, reached func()) {
			onCommit(g, releases, func() error { reached(); return &types.StoreError{Op: "write", Err: types.ErrClosed} })
		}},
		{"PUBREC is journalled, the broker does not get PUBREL", func(g *gateway, reached func()) {
			onCommit(g, releases, func() error {
				g.broker.Freeze()
				g.store.set(func(s *testStore) { s.onWrit = nil })
				reached()
				return nil
			})
		}},
		{"the broker gets PUBREL, PUBCOMP does not come", func(g *gateway, reached func()) {
			onCommit(g, releases, func() error { g.broker.Withhold(true); reached(); return nil })
		}},
		{"PUBCOMP came and is not recorded", func(g *gateway, reached func()) {
			onCommit(g, finishes, func() error { reached(); return &types.StoreError{Op: "write", Err: types.ErrClosed} })
		}},
	}
	for _, p := range points {
		for _, end := range []struct {
			name   string
			within time.Duration
			power  *rand.Rand
		}{
			{"killed", 0, nil}, {"killed, never synced", -1, nil}, {"without power", 0, rand.New(rand.NewPCG(1, 1))},
		} {
			t.Run(p.name+"/"+end.name, func(t *testing.T) {
				g := newGateway(t, func(q *QueueConfig, _ *ConnectionConfig) { q.SyncWithin = end.within })
				reached := make(chan struct{})
				g.start()
				p.set(g, once(func() { close(reached) }))
				g.put(2, "0")
				receive(t, reached, "the crash point")
				// What the store was just told is in it before the process dies.
				g.queue.Tell(Describe{func(types.QueueStatus, error) {}})
				g.die(end.power)
				g.broker.Withhold(false)
				g.broker.Thaw()
				g.start()
				g.put(2, "1", "2")
				g.drained()
				if got := fmt.Sprint(g.arrived()); got != "[0 1 2]" {
					t.Errorf("%s arrived", got)
				}
				if st := g.queue.Status(); st.Sent != 3 {
					t.Errorf("sent %d", st.Sent)
				}
			})
		}
	}
}

// A broker that has lost the session may have delivered what was released, or
// not: that is what session_lost is about. What was not is sent again [S3.4].
func TestSessionLost(t *testing.T) {
	for _, test := range []struct {
		name    string
		assumed bool
		want    string
	}{
		{"redeliver", false, "[0 0 1]"}, {"assume_delivered", true, "[0 1]"},
	} {
		for _, killed := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s/killed %v", test.name, killed), func(t *testing.T) {
				g := newGateway(t, func(_ *QueueConfig, c *ConnectionConfig) { c.AssumeDelivered = test.assumed })
				g.start()
				frozen := make(chan struct{})
				g.store.set(func(s *testStore) {
					s.onWrit = func(c persistence.Commit) error {
						if len(c.Released) > 0 {
							g.broker.Freeze()
							close(frozen)
						}
						return nil
					}
				})
				g.put(2, "0")
				receive(t, frozen, "PUBREC")
				g.bell.wait(t, "the journal", func() bool { return len(g.queue.State().Released) > 0 })
				describe(t, g.queue) // it is in the store, too
				g.store.set(func(s *testStore) { s.onWrit = nil })
				g.broker.Down()
				g.broker.Forget()
				if killed {
					g.die(nil)
					g.start()
				}
				g.broker.Thaw()
				g.broker.Up()
				g.put(2, "1")
				g.drained()
				if got := fmt.Sprint(g.arrived()); got != test.want {
					t.Errorf("%s arrived, want %s", got, test.want)
				}
			})
		}
	}
}

// A PUBLISH with QoS 2 leaves only when it is synced, under every policy: after a
// power cut its number, and so its packet id, is not another message's [S3.3].
func TestQoS2LeavesWhenSynced(t *testing.T) {
	for _, within := range []time.Duration{-1, time.Hour} {
		t.Run(within.String(), func(t *testing.T) {
			g := newGateway(t, func(q *QueueConfig, _ *ConnectionConfig) { q.SyncWithin = within })
			g.start()
			g.bell.wait(t, "a link", func() bool { return g.conn.Status().State == types.Online })
			_, _, before := g.store.counts()
			g.put(1, "0")
			if err := g.broker.WaitFor(soon(t), 1); err != nil {
				t.Fatal(err)
			}
			if _, _, syncs := g.store.counts(); syncs != before {
				t.Errorf("%d syncs for a message with QoS 1", syncs-before)
			}
			var atSync []int
			g.store.set(func(s *testStore) {
				s.onSync = func() error { atSync = append(atSync, len(g.broker.Published())); return nil }
			})
			g.broker.Withhold(true)
			g.put(2, "1")
			if err := g.broker.WaitFor(soon(t), 2); err != nil {
				t.Fatal(err)
			}
			g.die(rand.New(rand.NewPCG(3, 3)))
			if len(atSync) == 0 || atSync[0] != 1 {
				t.Errorf("when it was synced %v messages had left, want 1", atSync)
			}
			g.broker.Withhold(false)
			g.start()
			g.bell.wait(t, "the store", func() bool { return !g.queue.Unread() })
			if next := g.queue.State().Next; next < 3 {
				t.Errorf("the next number is %d: it was given away", next)
			}
			g.put(2, "2")
			g.drained()
			exactly := slices.DeleteFunc(g.arrived(), func(p string) bool { return p == "0" })
			if got := fmt.Sprint(exactly); got != "[1 2]" {
				t.Errorf("%s arrived with QoS 2", got)
			}
		})
	}
}

// What a broker does not take at QoS 2 becomes a dead letter, and its packet id
// is free again.
func TestPoisonAtQoS2(t *testing.T) {
	g := newGateway(t, func(_ *QueueConfig, c *ConnectionConfig) { c.MaxAttempts = 4 })
	g.broker.Reject("poison")
	g.start()
	e := entry("poison", "x")
	e.Message.QoS = 2
	g.put(2, "0")
	if _, err := g.queue.Put(t.Context(), []persistence.Entry{e}); err != nil {
		t.Fatal(err)
	}
	g.put(2, "1")
	g.drained()
	dead := deadLetters(t, g.queue)
	if got := fmt.Sprint(g.arrived()); got != "[0 1]" || len(dead) != 1 || dead[0].Cause == "" {
		t.Errorf("%s arrived; dead letters %v", got, dead)
	}
	if st := g.queue.Status(); st.Sent != 2 || st.Dead != 1 {
		t.Errorf("%+v", st)
	}
}

// A broker that takes no message with QoS 2 finishes handshakes all the same: that
// does not make it one that takes messages.
func TestBrokerThatTakesNothingAtQoS2(t *testing.T) {
	g := newGateway(t, func(_ *QueueConfig, c *ConnectionConfig) { c.MaxAttempts = 3 })
	g.broker.Reject("#")
	g.start()
	g.put(2, "0", "1", "2", "3", "4", "5")
	g.bell.wait(t, "the state refused", func() bool { return g.conn.Status().State == types.Refused })
	if st := g.queue.Status(); st.Dead != 2 || st.Pending != 4 {
		t.Errorf("dead %d, pending %d; want 2 and 4", st.Dead, st.Pending)
	}
	g.broker.Reject("")
	g.drained()
	if got := fmt.Sprint(g.arrived()); got != "[2 3 4 5]" {
		t.Errorf("%s arrived", got)
	}
}

// Clear while the gateway is without a link, in the same process and in another:
// what the broker may have of it keeps its packet id until its handshake is over,
// and counts as cleared if nothing came back. An orphan has nobody to do that: it
// is cleared whole, and the session begins anew [S3.5].
func TestClearOfWhatIsInFlight(t *testing.T) {
	for _, test := range []struct {
		name          string
		killed, alone bool
		cleared, left uint64
	}{
		{"the link is lost", false, false, 15, 5},
		{"killed", true, false, 15, 5},
		{"an orphan", true, true, 20, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			g := newGateway(t, nil)
			g.start()
			g.broker.Withhold(true)
			for i := range 20 {
				g.put(2, fmt.Sprint(i))
			}
			if err := g.broker.WaitFor(soon(t), 5); err != nil {
				t.Fatal(err)
			}
			g.broker.Down()
			if test.killed {
				g.die(nil)
				g.start()
			}
			if test.alone {
				stop(t, g.conn.Ref)
			}
			g.bell.wait(t, "the store", func() bool { return !g.queue.Unread() })
			g.bell.wait(t, "the connection, without which it is an orphan", func() bool {
				return test.alone || g.conn.Status().State != types.Offline
			})
			if n := clearQueue(t, g.queue, "", time.Time{}); n != test.cleared {
				t.Errorf("cleared %d, want %d", n, test.cleared)
			}
			if st := g.queue.Status(); st.Pending != test.left {
				t.Errorf("%d are left, want %d", st.Pending, test.left)
			}
			g.broker.Withhold(false)
			g.broker.Up()
			if test.alone {
				g.die(nil)
				g.start()
			}
			g.put(2, "20", "21")
			g.drained()
			if got := fmt.Sprint(g.arrived()); got != "[0 1 2 3 4 20 21]" {
				t.Errorf("%s arrived", got)
			}
			if st := g.queue.Status(); st.Sent != 2 || st.Cleared != 20 {
				t.Errorf("sent %d, cleared %d", st.Sent, st.Cleared)
			}
		})
	}
}

// An outgoing queue in memory beside a session that outlives the process: another
// process finishes the handshakes of the one before it, all that there may be,
// before it uses their packet ids for other messages [S3.4].
func TestQueueInMemoryBesideADurableSession(t *testing.T) {
	for _, test := range []struct {
		name    string
		reserve bool // else: the control
	}{
		{"reserved", true}, {"control: nothing is reserved", false},
	} {
		t.Run(test.name, func(t *testing.T) {
			var session *Queue
			disk := newTestStore()
			g := newGateway(t, func(_ *QueueConfig, c *ConnectionConfig) { c.Session = session })
			process := func() {
				session, _ = startQueue(t, g.sys, disk, func(c *QueueConfig) { c.Name = "cloud/incoming" })
				g.start()
			}
			process()
			g.broker.Withhold(true)
			for i := range 20 {
				g.put(2, fmt.Sprint(i))
			}
			if err := g.broker.WaitFor(soon(t), 5); err != nil {
				t.Fatal(err)
			}
			g.die(nil)
			g.store = newTestStore() // nothing is left of it
			stop(t, session.Ref)
			if !test.reserve {
				q, err := disk.opener("test/outgoing")(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				if _, err := q.Write(t.Context(), persistence.Commit{Marks: []persistence.Mark{{Key: markReserved}}}); err != nil {
					t.Fatal(err)
				}
				if err := q.Close(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
			g.broker.Withhold(false)
			process()
			for i := range 20 {
				g.put(2, fmt.Sprint("again ", i))
			}
			g.drained()
			if n := len(g.arrived()) - 5; n == 20 != test.reserve {
				t.Errorf("%d of 20 messages arrived", n)
			}
			for i := range reserveStep + 200 {
				g.put(2, fmt.Sprint("more ", i))
			}
			g.drained()
			if last := g.arrived(); last[len(last)-1] != fmt.Sprint("more ", reserveStep+199) {
				t.Errorf("the last one is %s", last[len(last)-1])
			}
		})
	}
}
