package actors

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/mqttdb/mqttdb/types"
)

// A random history of consumers that come, go and are killed, and of clearings,
// loses nothing, doubles nothing that was recorded as acknowledged, and keeps the
// order.
func TestConsumersAgainstAModel(t *testing.T) {
	for seed := range uint64(12) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) { runConsumersHistory(t, rand.New(rand.NewPCG(seed, 7)), 250) })
	}
}

// modelled is what the test knows of a consumer.
type modelled struct {
	name   string
	subs   map[string]types.Seq // filter, and what it counts from
	owed   map[types.Seq]bool   // belongs to it, and is not recorded as acknowledged
	token  Token
	r      *testReceiver
	seen   int // of r.got, looked at
	recent types.Seq
	acked  types.Seq // the last that this receiver has acknowledged
}

func runConsumersHistory(t *testing.T, random *rand.Rand, steps int) {
	d := startDesk(t, newTestStore(), nil)
	topics := []string{"a/1", "a/2", "b", "c"}
	filters := []string{"a/#", "a/1", "+", "b", "#"}
	all := map[string]*modelled{}
	var next types.Seq = 1
	history := map[types.Seq]string{}
	look := func(m *modelled) (open []types.Seq) {
		m.r.mu.Lock()
		defer m.r.mu.Unlock()
		for ; m.seen < len(m.r.got); m.seen++ {
			g := m.r.got[m.seen]
			if !m.owed[g.Seq] {
				t.Fatalf("%s got %d, which it has acknowledged or was never to get", m.name, g.Seq)
			}
			if g.Seq <= m.recent {
				t.Fatalf("%s got %d after %d", m.name, g.Seq, m.recent)
			}
			m.recent = g.Seq
		}
		m.r.sent = m.seen
		for _, g := range m.r.got {
			if m.owed[g.Seq] {
				open = append(open, g.Seq)
			}
		}
		return open
	}
	join := func(name string) *modelled {
		m := all[name]
		if m == nil {
			m = &modelled{name: name, subs: map[string]types.Seq{}, owed: map[types.Seq]bool{}}
			all[name] = m
		}
		m.r, m.seen, m.recent, m.acked = newReceiver(), 0, 0, 0
		m.token = d.join(name, m.r, 1+random.IntN(6)).Token
		return m
	}
	for range steps {
		name := string(rune('A' + random.IntN(4)))
		m := all[name]
		here := m != nil && m.r != nil
		switch k := random.IntN(110); {
		case k >= 100: // clear
			filter := []string{"nothing", "nothing", "b", "a/1"}[random.IntN(4)]
			d.clear(filter)
			for _, m := range all {
				for seq := range m.owed {
					if types.Matches(filter, history[seq]) {
						delete(m.owed, seq)
					}
				}
			}
		case k < 30: // publish
			topic := topics[random.IntN(len(topics))]
			n := 1 + random.IntN(3)
			mustPut(t, d.queue, topic, n)
			for range n {
				history[next] = topic
				for _, m := range all {
					for f, from := range m.subs {
						if next >= from && types.Matches(f, topic) {
							m.owed[next] = true
						}
					}
				}
				next++
			}
		case k < 60: // acknowledge some
			if here {
				open := look(m)
				random.Shuffle(len(open), func(i, j int) { open[i], open[j] = open[j], open[i] })
				done := open[:random.IntN(len(open)+1)]
				d.acknowledge(m.token, done...)
				for _, s := range done {
					delete(m.owed, s)
					m.acked = max(m.acked, s)
				}
			}
		case k < 70: // come, or take over
			if here {
				look(m)
			}
			join(name)
		case k < 78: // go
			if here {
				look(m)
				m.r.mu.Lock()
				last := m.acked
				if n := len(m.r.got); n > 0 {
					last = max(last, m.r.got[random.IntN(n)].Seq)
				}
				m.r.mu.Unlock()
				d.Tell(Leave{Consumer: m.token, Last: last})
				m.r = nil
			}
		case k < 88: // subscribe
			if here {
				f := filters[random.IntN(len(filters))]
				if _, had := m.subs[f]; !had {
					m.subs[f] = next
					d.subscribe(m.token, 1, f)
				}
			}
		case k < 91: // end
			if m != nil {
				if _, err := Ask(soon(t), d.Ref, func(r Reply[bool]) ConsumersMessage { return Remove{name, r} }); err != nil {
					t.Fatal(err)
				}
				delete(all, name)
			}
		case k < 95: // the actor fails
			d.Kill()
			for _, m := range all {
				m.r = nil
			}
		default: // kill -9
			after := &testStore{Store: d.store.Kill()}
			d.store.set(func(s *testStore) { s.onOpen = func() error { return types.ErrInUse } })
			d = startDesk(t, after, nil)
			for _, m := range all {
				m.r = nil
			}
		}
	}
	owed := map[types.Seq]bool{}
	for name, m := range all {
		for s := range m.owed {
			owed[s] = true
		}
		m = join(name)
		for len(m.owed) > 0 {
			before := len(look(m))
			m.r.wait(t, "more", func() bool { return len(m.r.got) > 0 && before > 0 || len(m.r.got) > m.seen })
			open := look(m)
			d.acknowledge(m.token, open...)
			for _, s := range open {
				delete(m.owed, s)
			}
		}
	}
	d.pending(0)
	if s := d.queue.State(); s.Counters.Accepted != s.Counters.Left[types.Sent]+s.Counters.Left[types.Dropped]+s.Counters.Left[types.Cleared] {
		t.Errorf("the books: %+v", s.Counters)
	}
}
