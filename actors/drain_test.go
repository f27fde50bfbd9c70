package actors

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/mqttdb/mqttdb/broker"
	"github.com/mqttdb/mqttdb/broker/loopback"
	"github.com/mqttdb/mqttdb/persistence"
	"github.com/mqttdb/mqttdb/types"
)

// house is everything that one connection consists of, against a broker in
// memory.
type house struct {
	sys       *System
	store     *testStore
	broker    *loopback.Broker
	queue     *Queue
	conn      *Connection
	inbound   *Inbound
	compactor Ref[CompactorMessage]
	bell      *bell
	arrived   chan types.Message
}

const clientID = "gateway-1"

func newHouse(t testing.TB, change func(*QueueConfig, *ConnectionConfig)) *house {
	t.Helper()
	h := &house{sys: newTestSystem(t), store: newTestStore(), broker: loopback.New(1), bell: newBell(), arrived: make(chan types.Message, 10_000)}
	qc := QueueConfig{Name: "cloud/outgoing", Open: h.store.opener("cloud/outgoing"), Changed: h.bell.ring, ReopenAfter: 2 * time.Millisecond}
	cc := ConnectionConfig{
		Name: "cloud", Dialer: h.broker, MaxQoS: 2, Changed: h.bell.ring,
		Filters: []broker.Filter{{Topic: "cmd/#", QoS: 2}},
		Options: func(context.Context) (broker.ConnectOptions, error) {
			return broker.ConnectOptions{ClientID: clientID, Protocol: broker.MQTT311}, nil
		},
		Backoff: Backoff{First: time.Millisecond, Max: 2 * time.Millisecond},
	}
	if change != nil {
		change(&qc, &cc)
	}
	var err error
	fatal := func() {
		if err != nil {
			t.Fatal(err)
		}
	}
	h.compactor, err = SpawnCompactor(h.sys, CompactorConfig{})
	fatal()
	qc.Compactor, qc.CompactionInterval = h.compactor, time.Millisecond
	h.queue, err = SpawnQueue(h.sys, qc)
	fatal()
	h.inbound, err = SpawnInbound(h.sys, InboundConfig{Name: "cloud/inbound", Deliver: func(m types.Message) { h.arrived <- m }})
	fatal()
	cc.Queue, cc.Inbound = h.queue, h.inbound.Ref
	h.conn, err = SpawnConnection(h.sys, cc)
	fatal()
	t.Cleanup(func() {
		stop(t, h.conn.Ref)
		stop(t, h.inbound.Ref)
		stop(t, h.queue.Ref)
		stop(t, h.compactor)
		if left := h.sys.Running(); len(left) > 0 {
			t.Errorf("still running: %v", left)
		}
	})
	return h
}

func (h *house) drained(t testing.TB) {
	t.Helper()
	defer func() {
		if t.Failed() {
			t.Logf("queue: %+v\nconnection: %+v", h.queue.Status(), h.conn.Status())
		}
	}()
	h.bell.wait(t, "an empty queue", func() bool { return h.queue.Status().Pending == 0 && h.queue.Trouble() == nil })
}

func TestRunning(t *testing.T) {
	h := newHouse(t, nil)
	want := []string{"mqttdb/_compactor", "mqttdb/cloud", "mqttdb/cloud/inbound", "mqttdb/cloud/outgoing"}
	if got := h.sys.Running(); !slices.Equal(got, want) {
		t.Errorf("running: %v, want %v", got, want)
	}
	if _, err := SpawnQueue(h.sys, QueueConfig{Name: "cloud/outgoing"}); err == nil {
		t.Error("a second actor got the same name")
	}
}

// published is how often each payload reached the broker, and the order in
// which they did so first.
func (h *house) published() (count map[string]int, order []string) {
	count = make(map[string]int)
	for _, m := range h.broker.Published() {
		p := string(m.Payload)
		if count[p]++; count[p] == 1 {
			order = append(order, p)
		}
	}
	return count, order
}

func TestDrainInOrder(t *testing.T) {
	h := newHouse(t, nil)
	const n = 5000
	h.broker.Reorder(true)
	mustPut(t, h.queue, "t", n)
	h.drained(t)
	count, order := h.published()
	if len(order) != n || len(h.broker.Published()) != n {
		t.Fatalf("%d messages arrived, %d times", len(order), len(h.broker.Published()))
	}
	for i, p := range order {
		if p != fmt.Sprint(i) || count[p] != 1 {
			t.Fatalf("message %d is %s", i, p)
		}
	}
	st := h.queue.Status()
	if st.Sent != n || st.Accepted != n {
		t.Errorf("%+v", st)
	}
}

// Whichever actor fails, whenever: nothing acknowledged is lost, and the first
// transmissions are in order [S2.2].
func TestKillsUnderLoad(t *testing.T) {
	victims := map[string]func(h *house){
		"queue":      func(h *house) { h.queue.Kill() },
		"connection": func(h *house) { h.conn.Kill() },
		"inbound":    func(h *house) { h.inbound.Kill() },
		"compactor":  func(h *house) { h.compactor.Kill() },
		"link":       func(h *house) { h.broker.Cut(); h.broker.Withhold(false) },
		"all":        func(h *house) { h.queue.Kill(); h.conn.Kill(); h.inbound.Kill(); h.compactor.Kill() },
	}
	for name, kill := range victims {
		t.Run(name, func(t *testing.T) {
			const window = 10
			h := newHouse(t, func(_ *QueueConfig, c *ConnectionConfig) { c.Window, c.MaxAttempts = window, -1 })
			h.broker.Delay(500 * time.Microsecond) // so that there is something in flight
			const producers, kills, perKill = 4, 50, 100
			work := make(chan struct{}, perKill)
			var wg sync.WaitGroup
			var stored [producers][]string
			for p := range producers {
				wg.Go(func() {
					i := 0
					for range work {
						text := fmt.Sprintf("%d/%d", p, i)
						i++
						if _, err := h.queue.Put(t.Context(), []persistence.Entry{entry("t/"+fmt.Sprint(p), text)}); err == nil {
							stored[p] = append(stored[p], text)
						} else if !errors.Is(err, types.ErrInterrupted) {
							t.Error(err)
						}
					}
				})
			}
			for range kills {
				arrived := len(h.broker.Published())
				h.broker.Withhold(name == "link") // an acknowledgement must not overtake the cut
				for range perKill {
					work <- struct{}{}
				}
				if err := h.broker.WaitFor(soon(t), arrived+5); err != nil {
					t.Fatal(err)
				}
				kill(h)
			}
			close(work)
			wg.Wait()
			h.drained(t)
			count, order := h.published()
			at := make(map[string]int)
			for i, p := range order {
				at[p] = i
			}
			acknowledged, twice := 0, 0
			for p := range stored {
				acknowledged += len(stored[p])
				last := -1
				for _, text := range stored[p] {
					i, found := at[text]
					if !found || i < last {
						t.Fatalf("%s: arrived %v, as number %d behind %d", text, found, i, last)
					}
					last = i
				}
			}
			for _, n := range count {
				twice += n - 1
			}
			t.Logf("%d acknowledged, %d arrived, %d duplicates", acknowledged, len(order), twice)
			if limit := kills * window; twice > limit {
				t.Errorf("%d duplicates, want at most one window per kill (%d)", twice, limit)
			}
			if cuts := name == "connection" || name == "link" || name == "all"; cuts && twice == 0 {
				t.Error("no kill met anything in flight: the test shows nothing")
			}
			if name == "queue" && twice > 0 {
				t.Errorf("%d duplicates: the connection has not lost its link", twice)
			}
			if st := h.queue.Status(); st.Accepted != st.Sent {
				t.Errorf("accepted %d, sent %d", st.Accepted, st.Sent)
			}
			if used := h.queue.Admission().Used(); used != (Cost{}) {
				t.Errorf("%+v leaked", used)
			}
		})
	}
}

func clearQueue(t testing.TB, q *Queue, filter string, before time.Time) uint64 {
	t.Helper()
	c, err := Ask(t.Context(), q.Ref, func(r Reply[Cleared]) QueueMessage { return Clear{Filter: filter, Before: before, Reply: r} })
	if err != nil {
		t.Fatal(err)
	}
	return c.Count
}

// What Clear returns is true, and nothing that it counted leaves afterwards,
// while the queue drains and grows. What was in flight counts as cleared later, if
// the link was lost before its acknowledgement came: it is not sent again [S3.5].
func TestClearUnderLoad(t *testing.T) {
	for _, filter := range []string{"", "a/#"} {
		t.Run(filter, func(t *testing.T) {
			h := newHouse(t, func(_ *QueueConfig, c *ConnectionConfig) { c.Window = 7 })
			const rounds, each = 30, 200
			var cleared uint64
			h.broker.Delay(100 * time.Microsecond)
			for i := range rounds {
				arrived := len(h.broker.Published())
				list := make([]persistence.Entry, each)
				for j := range list {
					list[j] = entry([]string{"a/x", "b/x"}[j%2], fmt.Sprintf("%d/%d", i, j))
				}
				if _, err := h.queue.Put(t.Context(), list); err != nil {
					t.Fatal(err)
				}
				if err := h.broker.WaitFor(soon(t), arrived+20+i); err != nil {
					t.Fatal(err)
				}
				cleared += clearQueue(t, h.queue, filter, time.Time{})
				if i%5 == 4 {
					h.broker.Cut()
				}
			}
			h.drained(t)
			st := h.queue.Status()
			count, order := h.published()
			t.Logf("%d cleared, %d arrived", cleared, len(order))
			if st.Cleared < cleared || st.Cleared > cleared+rounds/5*7 || st.Sent+st.Cleared != rounds*each {
				t.Errorf("Clear counted %d, the books say cleared %d, sent %d of %d", cleared, st.Cleared, st.Sent, rounds*each)
			}
			// A message can have arrived and be cleared only where a link was
			// cut before its acknowledgement came: one window at each cut.
			if n := uint64(len(order)); n < st.Sent || n > st.Sent+rounds/5*7 {
				t.Errorf("%d arrived, %d were sent", n, st.Sent)
			}
			if filter != "" {
				for i := range rounds {
					for j := 1; j < each; j += 2 {
						if p := fmt.Sprintf("%d/%d", i, j); count[p] == 0 {
							t.Fatalf("%s was not selected and did not arrive", p)
						}
					}
				}
			}
		})
	}
}

// A message in flight stays; everything that is not leaves [S3.5].
func TestClearKeepsWhatIsInFlight(t *testing.T) {
	h := newHouse(t, func(_ *QueueConfig, c *ConnectionConfig) { c.Window = 5 })
	h.broker.Withhold(true)
	mustPut(t, h.queue, "t", 100)
	if err := h.broker.WaitFor(soon(t), 5); err != nil {
		t.Fatal(err)
	}
	if n := clearQueue(t, h.queue, "", time.Time{}); n != 95 {
		t.Errorf("cleared %d, want 95", n)
	}
	mustPut(t, h.queue, "t", 1)
	h.broker.Withhold(false)
	h.drained(t)
	if st := h.queue.Status(); st.Sent != 6 || st.Cleared != 95 {
		t.Errorf("sent %d, cleared %d", st.Sent, st.Cleared)
	}
}

func TestClearOlderThan(t *testing.T) {
	s := newTestStore()
	q, _ := startQueue(t, newTestSystem(t), s, nil)
	start := time.Now().Add(-time.Minute)
	for i := range 10 {
		e := entry("t", fmt.Sprint(i))
		e.Enqueued = start.Add(time.Duration(i) * time.Second)
		if _, err := put(t.Context(), q, e); err != nil {
			t.Fatal(err)
		}
	}
	if n := clearQueue(t, q, "", start.Add(3500*time.Millisecond)); n != 4 {
		t.Errorf("cleared %d, want 4", n)
	}
	if n := clearQueue(t, q, "x", time.Time{}); n != 0 {
		t.Errorf("cleared %d, want none", n)
	}
	if n := clearQueue(t, q, "", time.Time{}); n != 6 {
		t.Errorf("cleared %d, want 6", n)
	}
	if n := clearQueue(t, q, "", time.Time{}); n != 0 {
		t.Errorf("cleared %d of an empty queue", n)
	}
}

// A clearing of many messages goes in steps, between which others are served.
func TestClearInSteps(t *testing.T) {
	s := newTestStore()
	q, _ := startQueue(t, newTestSystem(t), s, nil)
	const n = 3*clearRecords + 10
	for range n / 1000 {
		mustPut(t, q, "a", 500)
		mustPut(t, q, "b", 500)
	}
	_, before, _ := s.counts()
	if got := clearQueue(t, q, "a", time.Time{}); got != n/1000*500 {
		t.Errorf("cleared %d, want %d", got, n/1000*500)
	}
	if _, deltas, _ := s.counts(); deltas-before < 3 {
		t.Errorf("%d steps, want several", deltas-before)
	}
	if f := fetchAll(t, q, 0); len(f.Records) != n/1000*500 || f.Records[0].Message.Topic != "b" {
		t.Errorf("%d are left", len(f.Records))
	}
}

func TestClearWhenTheConnectionFails(t *testing.T) {
	h := newHouse(t, nil)
	h.broker.Withhold(true)
	mustPut(t, h.queue, "t", 1000)
	for range 20 {
		h.conn.Kill()
		h.queue.Tell(Clear{Reply: func(Cleared, error) {}})
		h.conn.Kill()
	}
	clearQueue(t, h.queue, "", time.Time{})
	h.broker.Withhold(false)
	h.drained(t)
}

// The space of what has left is given back without being asked for.
func TestCompactorGivesSpaceBack(t *testing.T) {
	h := newHouse(t, nil)
	big := make([]persistence.Entry, 100)
	for i := range big {
		big[i] = entry("t", string(make([]byte, 10<<10)))
	}
	for range 50 {
		if _, err := h.queue.Put(t.Context(), big); err != nil {
			t.Fatal(err)
		}
	}
	h.drained(t)
	h.bell.wait(t, "disk space", func() bool { return h.queue.State().DiskBytes <= 17<<20 }) // two segments and a little, of 50 MB
	if st := h.queue.Status(); st.LastCompaction == nil {
		t.Error("the last compaction is not shown")
	}
	did, err := Ask(t.Context(), h.compactor, func(r Reply[persistence.Compaction]) CompactorMessage { return CompactNow{h.queue, r} })
	if err != nil || did.More {
		t.Errorf("CompactNow = %+v, %v", did, err)
	}
}

func TestReceive(t *testing.T) {
	h := newHouse(t, nil)
	if err := h.broker.WaitForFilters(soon(t), clientID, 1); err != nil {
		t.Fatal(err)
	}
	for i := range 300 {
		h.broker.Publish(types.Message{Topic: "cmd/x", Payload: []byte(fmt.Sprint(i)), QoS: types.QoS(i % 3)})
	}
	next := map[types.QoS]int{0: 0, 1: 1, 2: 2} // each QoS has an order of its own [MQTT-4.6.0-6]
	for range 300 {
		m := receive(t, h.arrived, "a message")
		if string(m.Payload) != fmt.Sprint(next[m.QoS]) {
			t.Fatalf("%s arrived with QoS %d, want %d", m.Payload, m.QoS, next[m.QoS])
		}
		next[m.QoS] += 3
	}
}

func TestFinish(t *testing.T) {
	h := newHouse(t, func(_ *QueueConfig, c *ConnectionConfig) { c.Window = 5 })
	h.broker.Withhold(true)
	mustPut(t, h.queue, "t", 100)
	if err := h.broker.WaitFor(soon(t), 5); err != nil {
		t.Fatal(err)
	}
	left := make(chan int, 1)
	h.conn.Tell(Finish{time.Minute, func(n int, err error) { left <- n }})
	h.broker.Withhold(false)
	if n := receive(t, left, "the end"); n != 0 {
		t.Errorf("%d are left in flight", n)
	}
	if st := h.queue.Status(); st.Pending != 95 || st.Sent != 5 {
		t.Errorf("pending %d, sent %d; want 95 and 5", st.Pending, st.Sent)
	}
	if s := h.conn.Status().State; s != types.Offline {
		t.Errorf("state %s", s)
	}
}
