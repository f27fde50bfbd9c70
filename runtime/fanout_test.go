package runtime_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/mqttdb/mqttdb/config"
	"github.com/mqttdb/mqttdb/persistence/faultstore"
	"github.com/mqttdb/mqttdb/runtime"
)

// producer publishes numbered messages, in order, as the local broker does for a
// client that sends again what was not acknowledged, and all behind it.
type producer struct {
	rt     *runtime.Runtime
	name   string
	rnd    *rand.Rand
	groups []string // topics select the connections whose names are in them
	sent   []string // topic of each message
}

func (p *producer) run(ctx context.Context, count int) error {
	for range count {
		p.sent = append(p.sent, p.groups[p.rnd.IntN(len(p.groups))])
	}
	for next := 0; next < count; {
		if ctx.Err() != nil {
			return fmt.Errorf("%s: at message %d of %d: %w", p.name, next, count, ctx.Err())
		}
		n := min(1+p.rnd.IntN(20), count-next)
		answers := make([]chan error, n)
		passages := make([]runtime.Passage, n)
		for i := range n {
			answer := make(chan error, 1)
			answers[i] = answer
			passages[i] = runtime.Passage{
				Message: message(p.sent[next+i]+"/x", fmt.Sprintf("%s %d", p.name, next+i)),
				Done:    func(err error) { answer <- err },
			}
		}
		room := make(chan struct{}, 1)
		taken := p.rt.RouteAll(passages, func() { room <- struct{}{} })
		stored := 0
		for i := range taken {
			select {
			case err := <-answers[i]:
				if err == nil && stored == i {
					stored++
				}
			case <-ctx.Done():
				return fmt.Errorf("%s: message %d was never answered", p.name, next+i)
			}
		}
		next += stored
		if taken < n {
			select {
			case <-room:
			case <-ctx.Done():
				return fmt.Errorf("%s: room was never told of", p.name)
			}
		}
	}
	return nil
}

// S2.1, guarantees 1 and 3: many clients publish for several connections each,
// while queues are killed and one of them cannot store at times. What was
// acknowledged is in all queues that it belongs to and in no other, first copies
// in the order of their publisher.
func TestFanOutUnderContention(t *testing.T) {
	h := newHouse()
	h.broker.Down()
	store := faultstore.New(h.store)
	var failing atomic.Bool
	store.Before(func(_ context.Context, c faultstore.Call) error {
		if failing.Load() && c.Op == faultstore.Write && c.Queue == "b/outgoing" && c.Batch.Messages > 0 {
			return faultstore.DiskFull()
		}
		return nil
	})
	h.options = func(o *runtime.Options) { o.Durable = store }
	groups := []string{"a", "b", "c", "ab", "bc", "ac", "abc", "nobody"}
	connection := func(name string) config.Connection {
		c := config.Connection{Name: name}
		for _, g := range groups {
			if g != "nobody" && strings.Contains(g, name) {
				c.Forward = append(c.Forward, config.Forward{Topic: g + "/#", RemotePrefix: name + ":"})
			}
		}
		return c
	}
	names := []string{"a", "b", "c"}
	rt := h.open(t, connection("a"), connection("b"), connection("c"))
	ctx, cancel := context.WithTimeout(t.Context(), 90*time.Second)
	defer cancel()
	var wg sync.WaitGroup
	producers := make([]*producer, 4)
	for i := range producers {
		p := &producer{rt: rt, name: fmt.Sprint("p", i), rnd: rand.New(rand.NewPCG(7, uint64(i))), groups: groups}
		producers[i] = p
		wg.Go(func() {
			if err := p.run(ctx, 800); err != nil {
				t.Error(err)
			}
		})
	}
	done := make(chan struct{})
	go func() { wg.Wait(); close(done) }()
	rnd := rand.New(rand.NewPCG(8, 8))
	faults, tick := 0, time.NewTicker(15*time.Millisecond)
	defer tick.Stop()
	for over := false; !over; {
		select {
		case <-done:
			over = true
		case <-tick.C:
			if faults++; faults == 5 {
				failing.Store(true)
			} else if faults == 10 {
				failing.Store(false)
			}
			if faults < 14 { // the waits before a restart grow
				if err := rt.Kill("mqttdb/" + names[rnd.IntN(len(names))] + "/outgoing"); err != nil {
					t.Error(err)
				}
			}
		}
	}
	h.broker.Up()
	if err := rt.Drain(ctx); err != nil {
		t.Fatal(err)
	}
	checkFanOut(t, h, producers, names)
}

// checkFanOut holds what the broker got against what was published.
func checkFanOut(t *testing.T, h *house, producers []*producer, names []string) {
	t.Helper()
	first := map[string]map[string][]int{} // connection, producer: numbers in the order in which they first came
	seen := map[string]bool{}
	for _, m := range h.broker.Published() {
		name, group, _ := strings.Cut(strings.TrimSuffix(m.Topic, "/x"), ":")
		var producer string
		var number int
		fmt.Sscan(string(m.Payload), &producer, &number)
		if !strings.Contains(group, name) {
			t.Fatalf("%s got a message for %s", name, group)
		}
		if key := name + " " + string(m.Payload); !seen[key] {
			seen[key] = true
			if first[name] == nil {
				first[name] = map[string][]int{}
			}
			first[name][producer] = append(first[name][producer], number)
		}
	}
	for _, name := range names {
		for _, p := range producers {
			var want []int
			for number, group := range p.sent {
				if group != "nobody" && strings.Contains(group, name) {
					want = append(want, number)
				}
			}
			if got := first[name][p.name]; fmt.Sprint(got) != fmt.Sprint(want) {
				t.Errorf("%s got %d messages of %s, %d were acknowledged, or the order is another", name, len(got), p.name, len(want))
			}
		}
	}
}
