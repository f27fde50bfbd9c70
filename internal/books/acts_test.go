package books

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/mqttdb/mqttdb/actors"
	"github.com/mqttdb/mqttdb/persistence"
	"github.com/mqttdb/mqttdb/types"
)

// act does something at random. It waits for no answer.
func (g *gateway) act() {
	switch n := g.r.IntN(40); {
	case n < 14:
		g.publish(1 + g.r.IntN(8))
	case n < 18:
		g.clear()
	case n < 19:
		g.requeue()
	case n < 20:
		g.replay()
	case n < 22:
		g.compact()
	case n < 26:
		g.pass(time.Duration(g.r.IntN(1+g.r.IntN(8000))) * time.Millisecond)
	case n < 28:
		g.broker.Cut()
	case n < 29:
		g.broker.CutAfter(g.r.IntN(12))
		g.broker.Cut()
	case n < 31:
		if g.r.IntN(2) == 0 {
			g.broker.Down()
		} else {
			g.broker.Up()
		}
	case n < 33:
		g.broker.Withhold(g.r.IntN(2) == 0)
	case n < 34:
		if g.r.IntN(2) == 0 {
			g.broker.Freeze()
		} else {
			g.broker.Thaw()
		}
	case n < 35:
		if g.conn != nil {
			if g.r.IntN(2) == 0 {
				g.conn.Tell(actors.Pause{})
			} else {
				g.conn.Tell(actors.Resume{})
			}
		}
	case n < 36:
		if g.conn != nil && g.r.IntN(2) == 0 {
			g.conn.Kill()
		} else {
			g.mu.Lock()
			g.ledger.unsure = true
			g.mu.Unlock()
			g.queue.Kill()
		}
	case n < 37:
		g.configure()
	case n < 38:
		g.broker.Reject([]string{"", "poison/#"}[g.r.IntN(2)])
	default: // work for a moment
		g.pass(time.Duration(g.r.IntN(1+g.r.IntN(200))) * time.Millisecond)
	}
}

// publish has some messages published, together or one by one.
func (g *gateway) publish(n int) {
	together := g.r.IntN(3) == 0
	var entries []persistence.Entry
	var letters []*letter
	for range n {
		g.names++
		m := types.Message{
			Topic:   fmt.Sprintf("%s/%d", []string{"t", "t", "t", "poison"}[g.r.IntN(4)], g.r.IntN(3)),
			Payload: []byte(fmt.Sprint(g.names, " ", strings.Repeat("x", g.r.IntN(1+g.r.IntN(400))))),
			QoS:     types.QoS(g.r.IntN(3)),
		}
		if g.r.IntN(4) == 0 {
			m.Expiry = time.Duration(1+g.r.IntN(20)) * time.Second
		}
		x := &letter{message: m, since: time.Now()}
		entries, letters = append(entries, persistence.Entry{Message: m, Enqueued: x.since}), append(letters, x)
		g.mu.Lock()
		g.ledger.told[id(m)] = x
		g.mu.Unlock()
		if !together || len(entries) == n {
			g.put(entries, letters, g.r.IntN(3))
			entries, letters = nil, nil
		}
	}
}

// put waits for room for some seconds, and does not wait itself.
func (g *gateway) put(entries []persistence.Entry, letters []*letter, patience int) {
	answered := g.ask()
	queue := g.queue
	tell := func() {
		queue.Tell(actors.Enqueue{Entries: entries, Done: actors.CompletionFunc(func(first types.Seq, err error) {
			answered(func(l *ledger) {
				for i, x := range letters {
					l.answered(x, first+types.Seq(i), err, true)
				}
			})
		})})
	}
	refuse := func(err error) {
		answered(func(l *ledger) {
			for _, x := range letters {
				l.answered(x, 0, err, false)
			}
		})
	}
	if err := queue.Admission().TryAcquire(actors.CostOf(entries)); err == nil {
		tell()
		return
	} else if patience == 0 {
		refuse(err)
		return
	}
	go func() {
		ctx, cancel := context.WithTimeout(g.t.Context(), time.Duration(patience)*time.Second)
		defer cancel()
		if err := queue.Admission().Acquire(ctx, actors.CostOf(entries)); err != nil {
			refuse(err)
			return
		}
		tell()
	}()
}

// clear clears everything, or a part of it.
func (g *gateway) clear() {
	m := actors.Clear{}
	switch g.r.IntN(8) {
	case 0:
	case 1:
		m.Before = time.Now().Add(-time.Duration(g.r.IntN(5000)) * time.Millisecond)
	case 2:
		m.Dead = true
	case 3:
		m.Sent = true
	case 4:
		m.Seq = types.Seq(1 + g.r.Uint64N(uint64(g.queue.State().Next)))
	default:
		m.Filter = fmt.Sprintf("+/%d", g.r.IntN(3))
	}
	answered := g.ask()
	g.mu.Lock()
	switch {
	case m.Dead:
		g.ledger.letters = true
	case m.Sent:
	case m.Seq > 0:
		g.ledger.single = append(g.ledger.single, m.Seq)
	default:
		g.ledger.cleared = append(g.ledger.cleared, types.Selection{Filter: m.Filter, Before: m.Before})
	}
	g.mu.Unlock()
	m.Reply = func(c actors.Cleared, err error) {
		answered(func(l *ledger) {
			if err == nil && !m.Dead && !m.Sent {
				l.sure += c.Count
			}
		})
	}
	g.queue.Tell(m)
}

// requeue has a dead letter sent again.
func (g *gateway) requeue() {
	g.mu.Lock()
	dead := sorted(g.ledger.dead)
	g.ledger.letters = true
	g.mu.Unlock()
	if len(dead) == 0 {
		return
	}
	answered, q := g.ask(), dead[g.r.IntN(len(dead))]
	g.queue.Tell(actors.Requeue{Seq: q, Reply: func(a actors.Requeued, err error) {
		answered(func(l *ledger) {
			if err == nil {
				l.numbered(a.Seq, l.numbers[q])
			} else {
				l.unsure = true
			}
		})
	}})
}

// replay has what was sent sent again.
func (g *gateway) replay() {
	answered := g.ask()
	g.mu.Lock()
	g.ledger.replays = true
	g.mu.Unlock()
	m := actors.Replay{Since: time.Duration(g.r.IntN(20)) * time.Second, Again: g.r.IntN(2) == 0}
	m.Reply = func(actors.Replayed, error) { answered(func(*ledger) {}) }
	g.queue.Tell(m)
}

func (g *gateway) compact() {
	answered := g.ask()
	g.compactor.Tell(actors.CompactNow{Queue: g.queue, Reply: func(persistence.Compaction, error) { answered(func(*ledger) {}) }})
}

// configure changes the limits.
func (g *gateway) configure() {
	g.draw()
	g.mu.Lock()
	g.enter()
	g.mu.Unlock()
	g.queue.Tell(actors.Configure{Limits: g.limits, MaxAge: g.maxAge, KeepSent: g.keep, CompactionInterval: 20 * time.Second})
}

// draw draws limits.
func (g *gateway) draw() {
	g.limits = actors.Limits{Overflow: actors.Overflow(g.r.IntN(3))}
	if g.r.IntN(2) == 0 {
		g.limits.MaxMessages = 1 + g.r.IntN(40)
	}
	if g.r.IntN(3) == 0 {
		g.limits.MaxBytes = int64(1000 + g.r.IntN(6000))
	}
	g.maxAge, g.keep = 0, 0
	if g.r.IntN(2) == 0 {
		g.maxAge = time.Duration(1+g.r.IntN(30)) * time.Second
	}
	if g.r.IntN(2) == 0 {
		g.keep = time.Duration(1+g.r.IntN(60)) * time.Second
	}
}
