package actors

import (
	"fmt"
	"time"

	"github.com/mqttdb/mqttdb/persistence"
	"github.com/mqttdb/mqttdb/types"
)

func (a *consumers) join(m Join) {
	c := a.byName[m.Name]
	if a.isEstablished(m.Name) && (c == nil || m.Clean) {
		m.Reply.answer(Joined{}, errEnded)
		return
	}
	if c != nil && m.Clean {
		a.end(c)
		c = nil
	}
	present := c != nil
	if present && m.Back && c.receiver != nil {
		m.Reply.answer(Joined{}, errTakenOver)
		return
	}
	if !present {
		if len(a.byName) >= maxConsumers || a.bytes > maxConsumerBytes {
			m.Reply.answer(Joined{}, errTooManyConsumers)
			return
		}
		c = a.named(m.Name)
		c.filters, c.through = make(map[string]Subscription), a.head
	}
	if c.receiver != nil {
		a.part(c, all) // what it has sent is not known: all of it may have left
		a.dismiss(c, errTakenOver)
	}
	if c.expires != nil {
		c.expires()
		c.expires = nil
	}
	a.joins++
	if c.suspects == unknownSuspects {
		c.suspects = m.Messages
	}
	c.token, c.receiver = Token{m.Name, a.joins}, m.Receiver
	c.messages, c.bytes = max(m.Messages, 1), m.Bytes
	c.expiry, c.left = m.Expiry, time.Time{}
	c.start()
	c.fixed = c.fixedBytes()
	a.measure(c)
	answer := Joined{Token: c.token, Store: a.store, Present: present, Subscriptions: c.subscriptions(), State: c.state}
	if present {
		a.soil(c)
		a.answerJoin(m, c, answer)
		a.fetchFor(c)
		a.config.Changed()
		return
	}
	delete(a.removed, m.Name)
	a.note(Note{Marks: []persistence.Mark{c.definition(), c.position(a.head)}}, func(ours bool, err error) {
		if err != nil {
			if ours && a.joinedBy(answer.Token) != nil {
				a.end(c)
				a.removed[m.Name] = true
			}
			m.Reply.answer(Joined{}, err)
			return
		}
		m.Reply.answer(answer, nil)
	})
	a.fetchFor(c)
	a.config.Changed()
}

// answerJoin answers when the state that the answer holds is synced: the receiver
// goes on with it (PUBREL), and that must not be taken back by a crash.
func (a *consumers) answerJoin(m Join, c *consumer, answer Joined) {
	if len(c.state) == 0 {
		m.Reply.answer(answer, nil)
		return
	}
	a.strict = append(a.strict, func(_ Noted, err error) {
		if err != nil {
			if a.joinedBy(answer.Token) != nil {
				a.leave(Leave{Consumer: answer.Token, Last: c.receiver.Recall()})
			}
			answer = Joined{}
		}
		m.Reply.answer(answer, err)
	})
}

// all is above every number.
const all = ^types.Seq(0) >> 1

var errTakenOver = fmt.Errorf("%w: somebody else has taken its place, with the same name or client id", types.ErrClosed)

// part takes back from the receiver what has not left.
func (a *consumers) part(c *consumer, last types.Seq) {
	before := len(c.given)
	c.forget(last, a.head)
	a.outstanding -= before - len(c.given)
	if c.narrowed {
		a.sweep() // it may not have a subscription for it any more
	}
	a.widen(c)
}

func (a *consumers) leave(m Leave) {
	c := a.joinedBy(m.Consumer)
	if c == nil {
		return
	}
	if m.End {
		a.end(c)
		a.forgetMarks(c.name, func(error) {})
		return
	}
	a.part(c, m.Last)
	a.dismiss(c, nil)
	if m.State != nil {
		c.state = m.State
	}
	if m.Expiry != nil {
		c.expiry = *m.Expiry
	}
	a.measure(c)
	c.left = a.config.Clock.Now()
	a.soil(c)
	if !a.isEstablished(c.name) {
		a.expireLater(c, c.expiry)
	}
	a.config.Changed()
}

func (a *consumers) remove(m Remove) {
	c := a.byName[m.Name]
	if c == nil {
		m.Reply.answer(false, nil)
		return
	}
	a.end(c)
	a.forgetMarks(m.Name, func(err error) { m.Reply.answer(err == nil, err) })
}

func (a *consumers) subscribe(m Subscribe) {
	c := a.joinedBy(m.Consumer)
	if c == nil {
		m.Reply.answer(nil, types.ErrClosed)
		return
	}
	// Before the index says that messages are wanted: what comes from then on has
	// this number, or a later one.
	from := a.config.Queue.State().Next
	size := c.fixed
	var added []Subscription
	counted := make(map[string]bool)
	for _, s := range m.List {
		if counted[s.Filter] {
			continue
		}
		counted[s.Filter] = true
		had, ok := c.filters[s.Filter]
		if !ok {
			size += len(s.Filter)
		}
		if s.QoS > 0 && (!ok || had.QoS == 0) {
			added = append(added, s)
		}
	}
	if size > MaxConsumerFilters || a.bytes+size-c.fixed > maxConsumerBytes || !a.handle.index.hasRoomFor(added) {
		m.Reply.answer(nil, errTooManyConsumers)
		return
	}
	fresh := make([]bool, len(m.List))
	for i, s := range m.List {
		before, had := c.filters[s.Filter]
		fresh[i] = !had
		s.From = from
		if had && before.QoS > 0 {
			s.From = before.From
		} else if a.config.Named != "" { // what was wider may be given up next
			s.From = c.coveredFrom(s.Filter, from)
		}
		if had && s.QoS == 0 && before.QoS > 0 {
			a.narrow(c)
		}
		c.filters[s.Filter] = s
		a.handle.index.set(c, s)
	}
	a.define(c, func(err error) { m.Reply.answer(fresh, err) })
}

// define records what c is, and answers. It takes nothing back when that fails:
// whoever asked ends the session then, or asks again.
func (a *consumers) define(c *consumer, answer func(error)) {
	c.fixed = c.fixedBytes()
	a.measure(c)
	a.resubscribed = true
	a.note(Note{Marks: a.identity(c)}, func(_ bool, err error) { answer(err) })
}

// identity is what has to be stored of c for it to be there. What is open and no
// subscription selects belongs to that: nothing else would say whose it is.
func (a *consumers) identity(c *consumer) []persistence.Mark {
	marks := []persistence.Mark{c.definition()}
	if c.narrowed {
		marks = append(marks, c.position(a.head))
	}
	return marks
}

func (a *consumers) unsubscribe(m Unsubscribe) {
	c := a.joinedBy(m.Consumer)
	if c == nil {
		m.Reply.answer(nil, types.ErrClosed)
		return
	}
	had := make([]bool, len(m.Filters))
	for i, f := range m.Filters {
		if _, had[i] = c.filters[f]; had[i] {
			delete(c.filters, f)
			a.handle.index.remove(c, f)
		}
	}
	a.narrow(c)
	a.define(c, func(err error) { m.Reply.answer(had, err) })
}

// narrow is for a consumer that has lost a subscription: what it was not given
// yet may belong to nobody now, and what it was given stays its own until it
// acknowledges that.
func (a *consumers) narrow(c *consumer) {
	if len(c.open) > 0 {
		c.narrowed, a.narrowed[c] = true, true
	}
	a.sweep()
}

// widen ends that once nothing is open.
func (a *consumers) widen(c *consumer) {
	if c.narrowed && len(c.open) == 0 {
		c.narrowed = false
		delete(a.narrowed, c)
	}
}
