package actors

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mqttdb/mqttdb/persistence"
	"github.com/mqttdb/mqttdb/types"
)

// settleSent settles what a connection would have sent.
func settleSent(q *Queue, first, last types.Seq) {
	q.Tell(Settle{Done: []persistence.Done{{Range: persistence.Range{First: first, Last: last}, Reason: types.Sent}}})
}

func pendingSeqs(t testing.TB, q *Queue) (list []types.Seq) {
	t.Helper()
	for _, r := range fetchAll(t, q, 0).Records {
		list = append(list, r.Seq)
	}
	return list
}

func balanced(t testing.TB, q *Queue) types.QueueStatus {
	t.Helper()
	s, _ := describe(t, q)
	if sum := s.Sent + s.Dropped + s.Expired + s.Cleared + s.Dead + s.Quarantined + s.Pending; s.Accepted != sum {
		t.Errorf("the books do not balance: %d accepted, %d accounted for: %+v", s.Accepted, sum, s)
	}
	by := uint64(0)
	for n := range maps.Values(s.DroppedBy) {
		by += n
	}
	if by != s.Dropped {
		t.Errorf("%d dropped, by reason %v", s.Dropped, s.DroppedBy)
	}
	return s
}

// With reject whoever publishes waits; the limit is exact, the error says what it is.
func TestRejectAtTheLimit(t *testing.T) {
	q, _ := startQueue(t, newTestSystem(t), newTestStore(), func(c *QueueConfig) { c.Limits.MaxMessages = 10 })
	mustPut(t, q, "t", 9)
	if err := q.Full(); err != nil {
		t.Errorf("with one place left: %v", err)
	}
	mustPut(t, q, "t", 1)
	ctx, cancel := context.WithCancel(t.Context())
	refused := make(chan error, 1)
	go func() {
		_, err := put(ctx, q, entry("t", "late"))
		refused <- err
	}()
	for waiting := 0; waiting == 0; {
		q.admission.mu.Lock()
		waiting = len(q.admission.waiting)
		q.admission.mu.Unlock()
	}
	cancel()
	if err := receive(t, refused, "the refusal"); !errors.Is(err, types.ErrQueueFull) || !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), "max_messages 10") {
		t.Errorf("the error is %v", err)
	}
	if s := balanced(t, q); s.Pending != 10 || !strings.Contains(s.Full, "max_messages 10") || *s.Limits != (types.LimitsStatus{MaxMessages: 10, Overflow: "reject"}) {
		t.Errorf("full: %+v, limits %+v", s, s.Limits)
	}
	settleSent(q, 1, 1)
	if _, err := put(soon(t), q, entry("t", "next")); err != nil {
		t.Error(err)
	}
	q.Tell(Configure{Limits: Limits{MaxMessages: 11}}) // as a reload does
	if _, err := put(soon(t), q, entry("t", "one more")); err != nil {
		t.Error(err)
	}
	if s := balanced(t, q); s.Pending != 11 || s.Limits.MaxMessages != 11 {
		t.Errorf("after the limit was raised: %+v", s)
	}
}

func TestDropAtTheLimit(t *testing.T) {
	tests := []struct {
		name   string
		limits Limits
		puts   []int // messages that are stored together
		want   []types.Seq
	}{
		{"oldest", Limits{MaxMessages: 3, Overflow: DropOldest}, []int{1, 1, 1, 1, 1}, []types.Seq{3, 4, 5}},
		{"oldest, of what comes together", Limits{MaxMessages: 3, Overflow: DropOldest}, []int{2, 5}, []types.Seq{5, 6, 7}},
		{"newest", Limits{MaxMessages: 3, Overflow: DropNewest}, []int{1, 1, 1, 1, 1}, []types.Seq{1, 2, 3}},
		{"newest, of what comes together", Limits{MaxMessages: 3, Overflow: DropNewest}, []int{2, 5}, []types.Seq{1, 2, 3}},
		{"not reached", Limits{MaxMessages: 5, MaxBytes: 1 << 20, Overflow: DropOldest}, []int{5}, []types.Seq{1, 2, 3, 4, 5}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			q, _ := startQueue(t, newTestSystem(t), newTestStore(), func(c *QueueConfig) { c.Limits = tt.limits })
			total := 0
			for _, n := range tt.puts {
				mustPut(t, q, "t", n)
				total += n
			}
			if got := pendingSeqs(t, q); !slices.Equal(got, tt.want) {
				t.Errorf("pending: %v, want %v", got, tt.want)
			}
			dropped := uint64(total - len(tt.want))
			want := map[string]uint64{}
			if dropped > 0 {
				want[tt.limits.Overflow.String()] = dropped
			}
			if s := balanced(t, q); s.Accepted != uint64(total) || s.Dropped != dropped || !maps.Equal(s.DroppedBy, want) {
				t.Errorf("status: %+v, want %v dropped", s, want)
			}
		})
	}
}

// The bytes that are stored stay at the limit, however large messages are, and one
// that is larger than all is taken alone.
func TestDropOldestByBytes(t *testing.T) {
	const most = 64 << 10
	for _, overflow := range []Overflow{DropOldest, DropNewest} {
		t.Run(overflow.String(), func(t *testing.T) {
			q, _ := startQueue(t, newTestSystem(t), newTestStore(), func(c *QueueConfig) { c.Limits = Limits{MaxBytes: most, Overflow: overflow} })
			rng := rand.New(rand.NewPCG(1, 2))
			for range 400 {
				if _, err := put(t.Context(), q, entry("t", strings.Repeat("x", rng.IntN(4000)))); err != nil {
					t.Fatal(err)
				}
				if got := q.State().Bytes; got > most*5/4 {
					t.Fatalf("%d bytes are stored, the limit is %d", got, most)
				}
			}
			if s := balanced(t, q); s.Bytes < most/2 || s.Dropped < 300 {
				t.Errorf("%d bytes are left, %d messages dropped", s.Bytes, s.Dropped)
			}
			settleSent(q, 1, 400)
			if _, err := put(t.Context(), q, entry("t", strings.Repeat("x", 2*most))); err != nil {
				t.Fatal(err)
			}
			if s := balanced(t, q); s.Pending != 1 {
				t.Errorf("a message larger than the limit was not taken alone: %+v", s)
			}
		})
	}
}

// lockedBuffer is a buffer that may be read while a logger writes.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// Counts by reason survive a restart, and a burst is logged once at its beginning
// and once at its end, with the numbers.
func TestDropsAreCountedAndLogged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newTestStore()
		var log lockedBuffer
		logger := slog.New(slog.NewTextHandler(&log, nil))
		sys := NewSystem(SystemOptions{})
		q, err := SpawnQueue(sys, QueueConfig{Name: "a/outgoing", Open: store.opener("a/outgoing"), Limits: Limits{MaxMessages: 2, Overflow: DropOldest}, Logger: logger})
		if err != nil {
			t.Fatal(err)
		}
		for range 5 {
			mustPut(t, q, "t", 1)
			time.Sleep(burstQuiet / 2) // of the fake clock
		}
		synctest.Wait()
		if n := strings.Count(log.String(), "level=WARN"); n != 1 || !strings.Contains(log.String(), "first=1") {
			t.Errorf("during the burst:\n%s", log.String())
		}
		time.Sleep(2 * burstQuiet)
		synctest.Wait()
		if text := log.String(); strings.Count(text, "level=WARN") != 2 || !strings.Contains(text, "messages=3 first=1 last=3") {
			t.Errorf("after the burst:\n%s", text)
		}
		stop(t, q.Ref)
		q, err = SpawnQueue(sys, QueueConfig{Name: "a/outgoing", Open: store.opener("a/outgoing")})
		if err != nil {
			t.Fatal(err)
		}
		defer stop(t, q.Ref)
		if s := balanced(t, q); s.DroppedBy["drop_oldest"] != 3 {
			t.Errorf("after a restart: %+v", s)
		}
	})
}

// S3.5: what is in flight is not dropped, also at QoS 2 and after a restart; what was
// only fetched is, and does not leave any more.
func TestDropOldestKeepsWhatIsInFlight(t *testing.T) {
	h := newHouse(t, func(q *QueueConfig, c *ConnectionConfig) {
		q.Limits = Limits{MaxMessages: 20, Overflow: DropOldest}
		c.Window, c.MaxAttempts = 4, -1
	})
	h.broker.Withhold(true)
	h.bell.wait(t, "a link", func() bool { return h.conn.Status().State == types.Online })
	mustPut(t, h.queue, "t", 20) // 4 of them leave, 8 more are fetched
	h.bell.wait(t, "a full window", func() bool { return h.conn.Status().InFlight == 4 })
	for i := range 30 {
		if _, err := put(t.Context(), h.queue, entry("t", fmt.Sprint("new ", i))); err != nil {
			t.Fatal(err)
		}
	}
	want := []types.Seq{1, 2, 3, 4}
	for seq := types.Seq(35); seq <= 50; seq++ {
		want = append(want, seq)
	}
	if got := pendingSeqs(t, h.queue); !slices.Equal(got, want) {
		t.Errorf("pending: %v, want %v", got, want)
	}
	h.broker.Withhold(false)
	h.broker.Cut() // and all is sent again
	h.drained(t)
	_, order := h.published()
	if len(order) != 20 || order[3] != "3" || order[4] != "new 14" || order[19] != "new 29" {
		t.Errorf("%d have left: %v", len(order), order)
	}
	balanced(t, h.queue)
}

// If all that is stored is in flight it is the new message that is dropped.
func TestDropOldestWithAllInFlight(t *testing.T) {
	h := newHouse(t, func(q *QueueConfig, c *ConnectionConfig) {
		q.Limits = Limits{MaxMessages: 1, Overflow: DropOldest}
		c.MaxAttempts = -1
	})
	h.broker.Withhold(true)
	mustPut(t, h.queue, "t", 1)
	h.bell.wait(t, "a message in flight", func() bool { return h.conn.Status().InFlight == 1 })
	if seq, err := put(t.Context(), h.queue, entry("t", "new")); err != nil || seq != 2 {
		t.Errorf("the new one is taken as %d, %v", seq, err)
	}
	if got := pendingSeqs(t, h.queue); !slices.Equal(got, []types.Seq{1}) {
		t.Errorf("pending: %v", got)
	}
}

// Whatever is published, sent, acknowledged, cut, cleared and killed while a queue
// is full: the books balance, nothing leaves twice at QoS 2, what leaves does so in
// order, and what was dropped or cleared does not leave.
func TestDropOldestUnderLoad(t *testing.T) {
	for seed := range uint64(6) {
		rng := rand.New(rand.NewPCG(seed, 7))
		g := newGateway(t, func(q *QueueConfig, c *ConnectionConfig) {
			q.Limits = Limits{MaxMessages: 30, Overflow: DropOldest}
			c.Window, c.QoS2Window, c.MaxAttempts = 8, 4, -1
		})
		g.start()
		n := 0
		for range 150 {
			switch rng.IntN(12) {
			case 0:
				g.broker.Cut()
			case 1:
				g.broker.CutAfter(rng.IntN(20))
			case 2:
				g.die(nil)
				g.start()
			case 3:
				g.queue.Kill()
			case 4:
				clearQueue(t, g.queue, "nothing/like/this", time.Time{})
			default:
				for together := 1 + rng.IntN(20); ; {
					list := make([]persistence.Entry, together)
					for i := range list {
						list[i] = entry("t", fmt.Sprint(n)) // others when it is tried again: these may be stored
						list[i].Message.QoS = 2
						n++
					}
					if _, err := put(soon(t), g.queue, list...); err == nil {
						break
					}
				}
			}
			if s := g.queue.Status(); s.Pending > 30 {
				t.Fatalf("seed %d: %d are pending", seed, s.Pending)
			}
		}
		g.broker.Up()
		g.drained()
		last := -1
		for _, p := range g.arrived() {
			var i int
			fmt.Sscan(p, &i)
			if i <= last {
				t.Fatalf("seed %d: %d left behind %d: %v", seed, i, last, g.arrived())
			}
			last = i
		}
		balanced(t, g.queue)
		g.stop()
	}
}
