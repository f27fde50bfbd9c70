package actors

import (
	"log/slog"
	"time"

	"github.com/mqttdb/mqttdb/persistence"
	"github.com/mqttdb/mqttdb/types"
)

// compactStep is how much one step of compaction rewrites, in bytes, about: what it
// takes others have to wait.
const compactStep = 256 << 10

// CompactorConfig says how to run the compactor. The zero value does.
type CompactorConfig struct {
	Clock  Clock        // nil: the real one
	Logger *slog.Logger // nil: none
}

// SpawnCompactor starts the actor that has all queues of a System give back
// disk space: one at a time, step by step, so that a queue serves others
// between two steps.
func SpawnCompactor(s *System, c CompactorConfig) (Ref[CompactorMessage], error) {
	if c.Clock == nil {
		c.Clock = systemClock{}
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	k := &compactorKeeper{config: c, queues: make(map[*Queue]*watched)}
	return spawn(s, "_compactor", func(self Ref[CompactorMessage]) role[CompactorMessage] { // no connection has such a name
		return &compactor{compactorKeeper: k, self: self}
	}, func(m CompactorMessage, err error) {
		if m, ok := m.(CompactNow); ok {
			m.Reply.answer(persistence.Compaction{}, err)
		}
	})
}

// compactorKeeper is what outlives the failures of the compactor. Only the
// actor uses it.
type compactorKeeper struct {
	config CompactorConfig
	queues map[*Queue]*watched
	steps  uint64    // how many were asked for
	began  time.Time // the last of them
}

// watched is a queue that is compacted.
type watched struct {
	every time.Duration
	timer func() // stops the timer of the next turn

	due     bool // in line, or at work
	replies []Reply[persistence.Compaction]
	did     persistence.Compaction
	next    []Reply[persistence.Compaction] // who asked while it was at work: that may have passed by what they mean
}

// compactor lets one queue at a time do one step after the other.
type compactor struct {
	*compactorKeeper
	self Ref[CompactorMessage]
	line []*Queue // those that are due; the first one is at work
}

var _ role[CompactorMessage] = (*compactor)(nil)

// started implements role: after a failure all begins again.
func (c *compactor) started() {
	for q, w := range c.queues {
		w.due, w.did = false, persistence.Compaction{}
		c.schedule(q, w)
	}
}

func (c *compactor) receive(m CompactorMessage) {
	switch m := m.(type) {
	case Watch:
		c.watch(m)
	case intervalOver:
		c.compact(m.queue, nil)
	case CompactNow:
		c.compact(m.Queue, m.Reply)
	case stepDone:
		c.stepDone(m)
	case rested:
		if m.step == c.steps {
			c.step()
		}
	}
}

// watch takes a queue in, or changes how often it has its turn.
func (c *compactor) watch(m Watch) {
	w := c.queues[m.Queue]
	if w == nil {
		w = &watched{}
		c.queues[m.Queue] = w
	}
	w.every = m.Every
	if !w.due { // else its end does
		c.schedule(m.Queue, w)
	}
}

// schedule sets the timer of q's next turn.
func (c *compactor) schedule(q *Queue, w *watched) {
	if w.timer != nil {
		w.timer()
		w.timer = nil
	}
	if w.every > 0 {
		w.timer = c.config.Clock.AfterFunc(w.every, func() { c.self.Tell(intervalOver{q}) })
	}
}

// compact puts q in line.
func (c *compactor) compact(q *Queue, reply Reply[persistence.Compaction]) {
	w := c.queues[q]
	if w == nil {
		reply.answer(persistence.Compaction{}, types.ErrClosed)
		return
	}
	switch {
	case reply == nil:
	case w.due && c.line[0] == q:
		w.next = append(w.next, reply)
	default:
		w.replies = append(w.replies, reply)
	}
	if w.due {
		return
	}
	w.due = true
	c.line = append(c.line, q)
	if len(c.line) == 1 {
		c.step()
	}
}

// step asks the first in line for one step.
func (c *compactor) step() {
	if len(c.line) == 0 {
		return
	}
	c.steps++
	c.began = c.config.Clock.Now()
	q, self, step := c.line[0], c.self, c.steps
	q.Tell(Compact{MaxBytes: compactStep, Reply: func(did persistence.Compaction, err error) { self.Tell(stepDone{q, step, did, err}) }})
}

// longestRest is how long the compactor rests between two steps, at most.
const longestRest = 100 * time.Millisecond

// rest lets the next step come when as much time has passed as this one took, with
// its wait for the queue and the disk: those who publish are to have at least half of
// both, and more while they have little.
func (c *compactor) rest() {
	self, due := c.self, rested{c.steps}
	c.config.Clock.AfterFunc(min(c.config.Clock.Now().Sub(c.began), longestRest), func() { self.Tell(due) })
}

// stepDone goes on with the next step, or with the next in line.
func (c *compactor) stepDone(m stepDone) {
	if len(c.line) == 0 || c.line[0] != m.queue || m.step != c.steps {
		return // of an earlier life, or of a queue that is forgotten
	}
	w := c.queues[m.queue]
	w.did.Rewritten += m.did.Rewritten
	w.did.Reclaimed += m.did.Reclaimed
	if m.err == nil && m.did.More {
		c.rest()
		return
	}
	if w.did.Reclaimed > 0 {
		c.config.Logger.Debug("compacted", "queue", m.queue.Name(), "reclaimed", w.did.Reclaimed, "rewritten", w.did.Rewritten)
	}
	c.line = c.line[1:]
	w.due = false
	next := w.next
	w.next = nil
	c.answer(w, m.err)
	w.replies = next
	select {
	case <-m.queue.Gone():
		c.forget(m.queue, m.err)
	default:
		c.schedule(m.queue, w)
		if len(next) > 0 {
			w.due = true
			c.line = append(c.line, m.queue)
		}
	}
	c.step()
}

// interrupted implements role.
func (c *compactor) interrupted(current CompactorMessage) {
	if m, ok := current.(CompactNow); ok {
		m.Reply.answer(persistence.Compaction{}, types.ErrInterrupted)
	}
	c.answerAll(types.ErrInterrupted)
}

// stopping implements role.
func (c *compactor) stopping() {
	c.answerAll(types.ErrClosed)
	for _, w := range c.queues {
		if w.timer != nil {
			w.timer()
		}
	}
}

func (c *compactor) answerAll(err error) {
	c.line = nil
	for _, w := range c.queues {
		c.answer(w, err)
	}
}

func (c *compactor) answer(w *watched, err error) {
	replies, did := append(w.replies, w.next...), w.did
	w.replies, w.next, w.did = nil, nil, persistence.Compaction{}
	for _, r := range replies {
		r.answer(did, err)
	}
}

// forget takes q, which is gone, out.
func (c *compactor) forget(q *Queue, err error) {
	w := c.queues[q]
	if w.timer != nil {
		w.timer()
	}
	delete(c.queues, q)
	c.answer(w, err)
}
