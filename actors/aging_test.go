package actors

import (
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mqttdb/mqttdb/broker/loopback"
	"github.com/mqttdb/mqttdb/persistence"
	"github.com/mqttdb/mqttdb/persistence/journal"
	"github.com/mqttdb/mqttdb/persistence/memory"
	"github.com/mqttdb/mqttdb/persistence/storetest"
	"github.com/mqttdb/mqttdb/types"
)

// journalOf is a log that a test reads.
type journalOf struct {
	mu   sync.Mutex
	text strings.Builder
}

func (j *journalOf) Write(b []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.Write(b)
}

// lines returns the lines with that text.
func (j *journalOf) lines(with string) (list []string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	for line := range strings.Lines(j.text.String()) {
		if strings.Contains(line, with) {
			list = append(list, strings.TrimSpace(line))
		}
	}
	return list
}

// wallClock is the clock of a bubble whose wall time can be set. The times of a bubble
// have no monotonic reading, so it takes one from outside.
type wallClock struct {
	outside, start time.Time
	by             atomic.Int64
}

func newWallClock(outside time.Time) *wallClock {
	return &wallClock{outside: outside, start: time.Now()}
}

func (c *wallClock) Now() time.Time {
	return storetest.SetWall(c.outside.Add(time.Since(c.start)), time.Duration(c.by.Load()))
}

func (c *wallClock) AfterFunc(d time.Duration, f func()) func() {
	return systemClock{}.AfterFunc(d, f)
}

// set sets it forward, or back.
func (c *wallClock) set(by time.Duration) { c.by.Add(int64(by)) }

// agingStore is an empty store that goes by a clock.
func agingStore(c Clock) *testStore {
	return &testStore{Store: memory.New(memory.Options{Journal: journal.Options{Now: c.Now}})}
}

// agingQueue is a queue in a bubble.
type agingQueue struct {
	*Queue
	t     *testing.T
	clock *wallClock
	store *testStore
	log   journalOf
}

// inBubble runs a test with a queue.
func inBubble(t *testing.T, change func(*QueueConfig), test func(t *testing.T, a *agingQueue)) {
	outside := time.Now()
	synctest.Test(t, func(t *testing.T) {
		a := &agingQueue{t: t, clock: newWallClock(outside)}
		a.store = agingStore(a.clock)
		a.start(change)
		test(t, a)
	})
}

func (a *agingQueue) start(change func(*QueueConfig)) {
	a.Queue, _ = startQueue(a.t, newTestSystem(a.t), a.store, func(c *QueueConfig) {
		c.Clock, c.Logger = a.clock, slog.New(slog.NewTextHandler(&a.log, nil))
		if change != nil {
			change(c)
		}
	})
	synctest.Wait()
}

// put stores messages of one batch that expire after as many seconds; 0: never.
func (a *agingQueue) put(expiries ...int) {
	a.t.Helper()
	var list []persistence.Entry
	for _, s := range expiries {
		list = append(list, persistence.Entry{Message: types.Message{Topic: "t", QoS: 1, Expiry: time.Duration(s) * time.Second}, Enqueued: a.clock.Now()})
	}
	if _, err := put(soon(a.t), a.Queue, list...); err != nil {
		a.t.Fatal(err)
	}
}

// pass lets time go by.
func (a *agingQueue) pass(d time.Duration) {
	<-time.After(d)
	synctest.Wait()
}

// wants says how many are to be pending, and to have expired.
func (a *agingQueue) wants(when string, pending, expired uint64) {
	a.t.Helper()
	if s := a.Status(); s.Pending != pending || s.Expired != expired || s.Accepted != s.Pending+s.Expired+s.Sent {
		a.t.Errorf("%s: %d pending, %d expired, want %d and %d: %+v", when, s.Pending, s.Expired, pending, expired, s)
	}
}

// What has expired leaves while nothing is sent, whoever drains the queue; it is
// logged once, with the first and the last.
func TestExpiredLeave(t *testing.T) {
	for _, c := range []struct {
		name  string
		drain func(t *testing.T, a *agingQueue)
	}{
		{"nobody", func(*testing.T, *agingQueue) {}},
		{"a connection", func(t *testing.T, a *agingQueue) {
			conn, err := SpawnConnection(newTestSystem(t), ConnectionConfig{Name: "test", Queue: a.Queue, Dialer: loopback.New(1), Paused: true})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { stop(t, conn.Ref) })
		}},
		{"consumers", func(t *testing.T, a *agingQueue) {
			consumers, err := SpawnConsumers(newTestSystem(t), ConsumersConfig{Name: "consumers", Queue: a.Queue, Clock: a.clock})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { stop(t, consumers.Ref) })
			joined, err := Ask(t.Context(), consumers.Ref, func(reply Reply[Joined]) ConsumersMessage {
				return Join{Name: "away", Expiry: 24 * time.Hour, Receiver: newReceiver(), Messages: 10, Bytes: 1000, Reply: reply}
			})
			if err != nil {
				t.Fatal(err)
			}
			if _, err := Ask(t.Context(), consumers.Ref, func(r Reply[[]bool]) ConsumersMessage {
				return Subscribe{joined.Token, []Subscription{{Filter: "#", QoS: 1}}, r}
			}); err != nil {
				t.Fatal(err)
			}
			consumers.Tell(Leave{Consumer: joined.Token})
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			inBubble(t, nil, func(t *testing.T, a *agingQueue) {
				c.drain(t, a)
				a.put(0, 26, 0)
				a.put(20, 32)
				a.pass(19 * time.Second)
				a.wants("19 s", 5, 0)
				a.clock.set(-5 * time.Hour)
				a.pass(3 * time.Second)
				a.wants("22 s", 4, 1)
				a.pass(5 * time.Second)
				a.wants("27 s", 3, 2)
				a.pass(6 * time.Second)
				a.wants("33 s", 2, 3)
				if got := a.log.lines("expired"); len(got) != 0 {
					t.Errorf("in the middle of it: %q", got)
				}
				a.pass(20 * time.Second)
				if got := a.log.lines("expired"); len(got) != 1 || !strings.Contains(got[0], "messages=3 first=2 last=5") {
					t.Errorf("it logs %q", got)
				}
				a.Tell(Configure{MaxAge: time.Hour})
				a.pass(10 * time.Second)
				a.wants("max_age 1 h", 2, 3)
				a.Tell(Configure{MaxAge: time.Minute})
				a.pass(2 * time.Second)
				a.wants("max_age 1 min", 0, 5)
			})
		})
	}
}

// What has expired leaves after a start, too, and what the wall clock is set to
// does not matter.
func TestExpiredLeaveAfterAStart(t *testing.T) {
	inBubble(t, func(c *QueueConfig) { c.MaxAge = time.Hour }, func(t *testing.T, a *agingQueue) {
		for range 50 {
			a.put(0, 0, 100)
		}
		a.pass(10 * time.Second)
		stop(t, a.Ref)
		a.pass(80 * time.Second)
		a.start(func(c *QueueConfig) { c.MaxAge = time.Hour })
		a.clock.set(7 * time.Hour)
		a.pass(9 * time.Second)
		a.wants("99 s", 150, 0)
		a.pass(12 * time.Second)
		a.wants("111 s", 100, 50)
		stop(t, a.Ref)
		a.store = a.store.kill()
		a.pass(time.Hour)
		a.start(func(c *QueueConfig) { c.MaxAge = time.Hour })
		a.pass(10 * time.Second)
		a.wants("an hour later", 0, 150)
	})
}

// A look with many batches to read does not hold up others, and goes on.
func TestExpiredInSteps(t *testing.T) {
	inBubble(t, func(c *QueueConfig) { c.MaxAge = time.Minute }, func(t *testing.T, a *agingQueue) {
		for i := range 200 {
			a.put(0, 20+i%3, 0)
		}
		a.pass(30 * time.Second)
		a.wants("30 s", 400, 200)
		a.pass(32 * time.Second)
		a.wants("at last", 0, 600)
		if got := a.log.lines("expired"); len(got) > 2 {
			t.Errorf("it logs %d times: %q", len(got), got)
		}
	})
}
