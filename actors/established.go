package actors

import (
	"strings"

	"github.com/mqttdb/mqttdb/persistence"
	"github.com/mqttdb/mqttdb/types"
)

// Established is a consumer that is there as long as whoever runs the queue says
// so, see Establish.
type Established struct {
	Name string
	List []Subscription
}

// isEstablished says whether the consumer of that name is, or was, there because
// Establish said so.
func (k *consumersKeeper) isEstablished(name string) bool {
	return k.config.Named != "" && !strings.HasPrefix(name, k.config.Named)
}

// findEstablished is establish for the consumers that were just loaded. One that
// damage has taken the filters of gets all that is stored.
func (a *consumers) findEstablished() {
	if a.config.Named == "" {
		return
	}
	var marks []persistence.Mark
	wanted := make(map[string]bool)
	for _, e := range a.established {
		wanted[e.Name] = true
		c, from := a.byName[e.Name], a.head+1
		switch {
		case c == nil:
			c = a.named(e.Name)
			c.through = a.head
			delete(a.removed, e.Name)
		case c.filters == nil:
			from = 0
		}
		if c.filters == nil {
			c.filters = make(map[string]Subscription)
		}
		if _, changed := a.refit(c, e, from); changed {
			marks = append(marks, c.definition(), c.position(a.head))
		}
	}
	for name := range a.byName {
		if a.isEstablished(name) && !wanted[name] {
			delete(a.byName, name)
			a.removed[name] = true
			marks = append(marks, noMarks(name)...)
		}
	}
	a.tellMarks(marks)
}

// establish makes the established consumers those of m.
func (a *consumers) establish(m Establish) {
	from := a.config.Queue.State().Next
	var marks []persistence.Mark
	var ended []string
	wanted := make(map[string]bool)
	for _, e := range m.List {
		wanted[e.Name] = true
		c, isNew := a.byName[e.Name], false
		if c == nil {
			c, isNew = a.named(e.Name), true
			c.filters, c.through = make(map[string]Subscription), a.head
			c.left = a.config.Clock.Now()
			delete(a.removed, e.Name)
		}
		lost, changed := a.refit(c, e, from)
		if !changed && !isNew {
			continue
		}
		for _, s := range c.filters {
			a.handle.index.set(c, s)
		}
		for _, filter := range lost {
			a.handle.index.remove(c, filter)
		}
		if len(lost) > 0 {
			if c.receiver != nil { // what is not on its way is not to go any more
				a.part(c, c.receiver.Recall())
				a.fetchFor(c)
			}
			a.narrow(c)
		}
		c.fixed = c.fixedBytes()
		a.measure(c)
		marks = append(marks, c.definition(), c.position(a.head))
	}
	for name, c := range a.byName {
		if a.isEstablished(name) && !wanted[name] {
			a.end(c)
			a.removed[name] = true
			ended = append(ended, name)
			marks = append(marks, noMarks(name)...)
		}
	}
	a.note(Note{Marks: marks}, func(ours bool, err error) { // should it fail, tellAgain does it
		for _, name := range ended {
			if ours && err == nil {
				delete(a.removed, name)
			}
		}
		m.Reply.answer(Noted{}, err)
	})
}

// refit gives c the filters of e. Those that are new count from that number on. It
// returns those that c has lost, and whether anything has changed.
func (a *consumers) refit(c *consumer, e Established, from types.Seq) (lost []string, changed bool) {
	keep := make(map[string]bool)
	for _, s := range e.List {
		keep[s.Filter] = true
		s.From = from
		if had, ok := c.filters[s.Filter]; ok {
			s.From = had.From
			changed = changed || had != s
		} else {
			s.From = c.coveredFrom(s.Filter, from)
			changed = true
		}
		c.filters[s.Filter] = s
	}
	for filter := range c.filters {
		if !keep[filter] {
			delete(c.filters, filter)
			lost, changed = append(lost, filter), true
		}
	}
	return lost, changed
}

// coveredFrom is the number from which everything that filter selects has been the
// consumer's by a subscription that it has; from if there is none.
func (c *consumer) coveredFrom(filter string, from types.Seq) types.Seq {
	for _, had := range c.filters {
		if had.QoS > 0 && types.Covers(had.Filter, filter) {
			from = min(from, had.From)
		}
	}
	return from
}

// tellMarks has marks recorded with the next commit. Should that fail they are
// told again, see tellAgain.
func (a *consumers) tellMarks(marks []persistence.Mark) {
	if len(marks) > 0 {
		a.config.Queue.Tell(Settle{Marks: marks, Store: a.store})
	}
}
