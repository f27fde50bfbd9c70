package actors

import (
	"github.com/mqttdb/mqttdb/persistence"
	"github.com/mqttdb/mqttdb/types"
)

// settlement is the part of the actor that records what is done: messages that
// nobody needs any more, and the cursors of those who have acknowledged what
// others still need. All that one round of the mailbox brings is recorded
// together.
type settlement struct {
	armed     bool
	done      [types.Reasons]persistence.Ranges // to be told to the queue
	unsettled [types.Reasons]persistence.Ranges // told, and not known to be recorded
	dirty     []*consumer                       // whose cursors are to be recorded
	strict    []Reply[Noted]                    // they wait for all of it to be synced
	narrowed  map[*consumer]bool                // with open messages that no subscription of theirs selects
}

// arm sees to it that flush comes, behind all that is in the mailbox already.
func (a *consumers) arm() {
	if !a.armed {
		a.armed = true
		a.self.Tell(consumersFlush{})
	}
}

// soil notes that the cursor of c is to be recorded.
func (a *consumers) soil(c *consumer) {
	if !c.dirty {
		c.dirty = true
		a.dirty = append(a.dirty, c)
	}
	a.arm()
}

// leftover settles a message that is stored and belongs to nobody.
func (a *consumers) leftover(seq types.Seq) {
	if a.letters.isLetter(seq) {
		a.done[types.Dead].Add(rangeOf(seq))
	} else {
		a.done[types.Dropped].Add(rangeOf(seq))
	}
	a.arm()
}

func (a *consumers) acknowledge(m Acknowledge) {
	c := a.joinedBy(m.Consumer)
	if c == nil {
		m.Reply.answer(Noted{}, types.ErrClosed)
		return
	}
	if m.State != nil {
		c.state = m.State
		a.soil(c)
	}
	for _, seq := range m.Done {
		a.finish(c, seq, types.Sent)
	}
	for _, seq := range m.Expired {
		a.finish(c, seq, types.Expired)
	}
	if err := a.setAside(c, m.Dead); err != nil {
		m.Reply.answer(Noted{}, err)
		m.Reply = nil
	}
	a.widen(c)
	a.measure(c)
	if m.Reply != nil {
		a.strict = append(a.strict, m.Reply)
	}
	a.arm()
	a.fetchFor(c)
}

// finish notes that c is done with a message, which leaves for that reason if c was
// the last one.
func (a *consumers) finish(c *consumer, seq types.Seq, why types.Reason) {
	g, ok := c.acknowledge(seq)
	if !ok {
		return
	}
	a.outstanding--
	switch {
	case a.needed(seq, g):
		a.soil(c)
	case a.letters.isLetter(seq):
		a.done[types.Dead].Add(rangeOf(seq))
	default:
		a.done[why].Add(rangeOf(seq))
	}
}

// needed says whether somebody has still to acknowledge a message that one
// consumer has.
func (a *consumers) needed(seq types.Seq, g given) bool {
	if a.handle.index.any(seq, g.topic, g.origin, func(c *consumer) bool { return c.needs(seq, a.head) }) {
		return true
	}
	for c := range a.narrowed {
		if c.open.Contains(seq) {
			return true
		}
	}
	return false
}

// flush tells the queue what is to be recorded.
func (a *consumers) flush() {
	a.armed = false
	s := Settle{Store: a.store}
	for reason := range a.done {
		for _, r := range a.done[reason] {
			a.unsettled[reason].Add(r)
			if reason == int(types.Dead) {
				s.Done = a.letters.withCauses(s.Done, r)
				continue
			}
			s.Done = append(s.Done, persistence.Done{Range: r, Reason: types.Reason(reason)})
		}
		a.done[reason] = a.done[reason][:0]
	}
	if a.letters.dirty {
		a.letters.dirty = false
		s.Marks = append(s.Marks, a.letters.mark())
	}
	for _, c := range a.dirty {
		c.dirty = false
		if a.byName[c.name] == c {
			s.Marks = append(s.Marks, c.position(a.head))
		}
	}
	clear(a.dirty)
	a.dirty = a.dirty[:0]
	if len(a.strict) == 0 {
		if len(s.Done) > 0 || len(s.Marks) > 0 {
			a.config.Queue.Tell(s)
		}
		return
	}
	// One message: between two the queue could fail and open its store again, and
	// the second would be answered without the first.
	strict := a.strict
	a.strict = nil
	a.note(Note{Done: s.Done, Marks: s.Marks, Sync: true}, func(ours bool, err error) {
		if ours && err == nil {
			a.recorded(s.Done)
		}
		for _, r := range strict {
			r.answer(Noted{}, err)
		}
	})
}

// recorded notes what a Note has recorded.
func (a *consumers) recorded(done []persistence.Done) {
	for _, d := range done {
		a.unsettled[d.Reason].Remove(d.Range)
		if d.Reason == types.Dead {
			a.posted(d.Range)
		}
	}
}

// settled notes what is recorded.
func (a *consumers) settled(m Settled) {
	for reason := range a.unsettled {
		for _, r := range m.Done {
			a.unsettled[reason].Remove(r)
		}
	}
	for _, r := range m.Done {
		a.posted(r)
	}
}

// tellAgain tells the queue, which has opened its store anew, everything that it
// may have forgotten.
func (a *consumers) tellAgain() {
	for reason := range a.unsettled {
		for _, r := range a.unsettled[reason] {
			a.done[reason].Add(r)
		}
		a.unsettled[reason] = nil
	}
	var marks []persistence.Mark
	for name := range a.removed {
		marks = append(marks, noMarks(name)...)
	}
	for _, c := range a.byName {
		marks = append(marks, a.identity(c)...)
		a.soil(c)
	}
	a.letters.dirty = a.letters.dirty || len(a.letters.causes) > 0
	if len(marks) > 0 {
		a.config.Queue.Tell(Settle{Marks: marks, Store: a.store})
	}
	a.arm()
}

// answerStrict answers those who wait.
func (a *consumers) answerStrict(why error) {
	strict := a.strict
	a.strict = nil
	for _, r := range strict {
		r.answer(Noted{}, why)
	}
}
