package actors

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/mqttdb/mqttdb/persistence"
	"github.com/mqttdb/mqttdb/types"
)

// clearing is the part of a queue that removes messages for an operator. What is
// in flight is abandoned: it is not published again, and leaves when its handshake
// is finished [S3.5]. What it has fetched and not sent
// must not leave any more: so it is asked to forget that first, and what it
// fetches waits until the clearing is over. A clearing with a filter reads the
// whole queue, in steps, between which other messages are served.
type clearing struct {
	clears []Clear // the first one is under way
	parked []Fetch // answered afterwards

	recalling bool
	inFlight  persistence.Ranges
	after     types.Seq // read so far
	upTo      types.Seq // what was committed when it began
	count     uint64
	buf       []persistence.Record
}

const clearRecords, clearBytes = 4096, 1 << 20 // of one step

func (c *clearing) busy() bool { return len(c.clears) > 0 }

// clear takes m up when those before it are done.
func (a *queue) clear(m Clear) {
	if a.handle == nil {
		m.Reply.answer(Cleared{}, a.trouble)
		return
	}
	a.clears = append(a.clears, m)
	if len(a.clears) == 1 {
		a.beginClear()
	}
}

func (a *queue) beginClear() {
	select {
	case <-a.connection.Gone():
		a.connection = drainer{}
	default:
	}
	a.recalling = true
	a.recalls++
	if a.connection == (drainer{}) || a.clears[0].kept() { // what is only kept is never sent
		a.recalled(recalled{token: a.recalls, unknown: !a.clears[0].kept()})
		return
	}
	a.connection.Tell(Recall{token: a.recalls})
}

// forgetRecall is for a new connection: it has nothing in flight.
func (a *queue) forgetRecall() {
	if a.recalling {
		a.recalled(recalled{token: a.recalls, unknown: true})
	}
}

func (a *queue) recalled(m recalled) {
	if !a.recalling || m.token != a.recalls || a.handle == nil {
		return
	}
	a.recalling = false
	a.after, a.upTo, a.count = 0, a.committed, 0
	if !a.writeSettled() {
		return
	}
	var err error
	if a.inFlight, err = a.findInFlight(m); err != nil {
		a.failRead(a.storeError("read", err))
		return
	}
	a.clearStep()
}

func (a *queue) clearNext(m clearNext) {
	if m.life == a.life && a.busy() && !a.recalling {
		a.clearStep()
	}
}

// clearStep removes what the next stretch of the queue holds.
func (a *queue) clearStep() {
	m := a.clears[0]
	var remove persistence.Ranges
	if m.Seq > 0 {
		remove = persistence.Ranges{{First: m.Seq, Last: min(m.Seq, a.upTo)}}
		a.after = a.upTo
	} else if m.Filter == "" && m.Before.IsZero() {
		remove = persistence.Ranges{{First: 1, Last: a.upTo}}
		a.after = a.upTo
	} else {
		records, err := a.readClearable(m)
		if err != nil {
			a.failRead(a.storeError("read", err))
			return
		}
		a.after = a.upTo
		for _, r := range records {
			if r.Seq <= a.upTo && m.selects(r) {
				remove.Add(persistence.Range{First: r.Seq, Last: r.Seq})
			}
			a.after = r.Seq
		}
		clear(records)
		a.buf = records
	}
	inFlight := m.Seq > 0 && a.inFlight.Contains(m.Seq)
	marks := a.endOfSession()
	abandon := a.setApart(&remove)
	if m.Seq > 0 {
		abandon = nil
	}
	if !a.remove(remove, abandon, marks) {
		return
	}
	if a.after < a.upTo {
		a.self.Tell(clearNext{a.life})
		return
	}
	switch {
	case inFlight:
		a.cleared(fmt.Errorf("%w: number %d", types.ErrInFlight, m.Seq))
	case m.Seq > 0 && a.count == 0:
		a.cleared(fmt.Errorf("%w: number %d", types.ErrUnknownMessage, m.Seq))
	default:
		a.cleared(nil)
	}
}

// readClearable reads the next stretch of what m is about.
func (a *queue) readClearable(m Clear) ([]persistence.Record, error) {
	limit := persistence.Limit{Records: clearRecords, Bytes: clearBytes}
	switch {
	case m.Dead:
		return a.readDead(a.buf[:0], a.after, limit)
	case m.Sent:
		return a.readSent(a.after, limit)
	}
	return a.handle.Read(a.context(), a.buf[:0], a.after, limit)
}

// kept says that m is about what has left and is kept.
func (m Clear) kept() bool { return m.Dead || m.Sent }

// selects says whether m means r. How old that is says the clock which nobody sets.
func (m Clear) selects(r persistence.Record) bool {
	return types.Selection{Filter: m.Filter, Before: m.Before}.Selects(r.Message.Topic, cmp.Or(r.Since, r.Enqueued))
}

// remove writes that these were cleared, counts those that were pending, and
// abandons others.
func (a *queue) remove(set, abandon persistence.Ranges, marks []persistence.Mark) bool {
	c := persistence.Commit{Marks: marks}
	for _, r := range abandon {
		c.Abandoned = append(c.Abandoned, persistence.Done{Range: r, Reason: types.Cleared})
	}
	m := a.clears[0]
	for _, r := range set {
		switch {
		case r.First > r.Last:
		case m.Dead:
			c.Freed.Add(r)
		case m.Sent:
			c.Lapsed.Add(r)
		default:
			c.Done = append(c.Done, persistence.Done{Range: r, Reason: types.Cleared})
		}
	}
	if len(c.Done) == 0 && len(c.Freed) == 0 && len(c.Lapsed) == 0 && len(c.Abandoned) == 0 {
		return true
	}
	before := a.handle.State()
	if _, err := a.handle.Write(a.context(), c); persistence.Refused(err) {
		a.cleared(a.storeError("write to", err))
		return false
	} else if err != nil {
		a.fail(a.storeError("write to", err))
		return false
	}
	after := a.handle.State()
	a.count += after.Counters.Left[types.Cleared] - before.Counters.Left[types.Cleared]
	switch {
	case m.Dead:
		a.count += before.Dead - after.Dead
	case m.Sent:
		a.count += before.Kept - after.Kept
	case a.connection.consumers != (Ref[ConsumersMessage]{}):
		a.connection.consumers.Tell(removed{slices.Clone(set)})
	}
	return true
}

// cleared answers the clearing that is done, or was refused, and goes on to the
// next.
func (a *queue) cleared(why error) {
	m, n := a.clears[0], a.count
	a.clears = a.clears[1:]
	a.config.Changed()
	if why != nil {
		m.Reply.answer(Cleared{}, why)
	} else if a.answerCleared(m, n); a.handle == nil {
		return
	}
	if a.busy() {
		a.beginClear()
		return
	}
	a.inFlight, a.clears, a.buf = nil, nil, nil
	parked := a.parked
	a.parked = nil
	for _, f := range parked {
		a.fetch(f)
	}
}

// answerCleared answers m, by which n messages have left, when that is synced: a
// power cut must not bring back what somebody was told is gone.
func (a *queue) answerCleared(m Clear, n uint64) {
	a.answerWhenSynced(func(err error) {
		if err != nil {
			m.Reply.answer(Cleared{}, err)
			return
		}
		a.config.Logger.Info("cleared", "messages", n, "dead", m.Dead, "sent", m.Sent)
		m.Reply.answer(Cleared{n}, nil)
	})
}

// endClearing answers all clearings, and those who wait for them, with why they
// were not finished.
func (a *queue) endClearing(why error) {
	clears, parked := a.clears, a.parked
	a.clearing = clearing{}
	for _, m := range clears {
		m.Reply.answer(Cleared{}, why)
	}
	for _, f := range parked {
		f.Reply.answer(Fetched{}, why)
	}
}
