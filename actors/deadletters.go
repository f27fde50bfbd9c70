package actors

import (
	"fmt"

	"github.com/mqttdb/mqttdb/persistence"
	"github.com/mqttdb/mqttdb/types"
)

// readDead reads dead letters of the store, none if it keeps none.
func (a *queue) readDead(buf []persistence.Record, after types.Seq, limit persistence.Limit) ([]persistence.Record, error) {
	r, ok := a.handle.(persistence.DeadReader)
	if !ok {
		return buf, nil
	}
	return r.ReadDead(a.context(), buf, after, limit)
}

// fetchLeft answers with dead letters, or with what was sent.
func (a *queue) fetchLeft(m Fetch) {
	if !a.writeSettled() {
		m.Reply.answer(Fetched{}, a.trouble)
		return
	}
	read := a.readSent
	if m.Dead {
		read = func(after types.Seq, limit persistence.Limit) ([]persistence.Record, error) {
			return a.readDead(nil, after, limit)
		}
	}
	records, err := read(m.After, m.Limit)
	if err != nil {
		a.failRead(a.storeError("read", err))
		m.Reply.answer(Fetched{}, a.trouble)
		return
	}
	f := Fetched{Records: records, Through: max(m.After, a.committed), Last: a.committed, Store: a.store}
	if n := len(records); n > 0 {
		f.Through = records[n-1].Seq
	}
	m.Reply.answer(f, nil)
}

// requeue puts a dead letter into the queue again, behind everything: one commit
// stores it under a new number and frees the old one.
func (a *queue) requeue(m Requeue) {
	if a.handle == nil || !a.write() { // an earlier Requeue of it, too
		m.Reply.answer(Requeued{}, a.trouble)
		return
	}
	records, err := a.readDead(nil, m.Seq-1, persistence.Limit{Records: 1})
	switch {
	case err != nil:
		a.failRead(a.storeError("read", err))
		m.Reply.answer(Requeued{}, a.trouble)
		return
	case len(records) == 0 || records[0].Seq != m.Seq: // also for 0
		a.startSync()
		m.Reply.answer(Requeued{}, fmt.Errorf("%w: no dead letter has number %d", types.ErrUnknownMessage, m.Seq))
		return
	}
	e := persistence.Entry{Message: records[0].Message, Enqueued: a.config.Clock.Now(), Enveloped: records[0].Enveloped, Original: records[0].Original}
	if err := a.roomFor([]persistence.Entry{e}); err != nil {
		a.startSync()
		m.Reply.answer(Requeued{}, fmt.Errorf("requeue number %d: %w", m.Seq, err))
		return
	}
	freed := &Note{Freed: persistence.Ranges{{First: m.Seq, Last: m.Seq}}}
	a.expect([]persistence.Entry{e}, freed, func(first types.Seq, err error) { m.Reply.answer(Requeued{first}, err) })
	if a.write() {
		a.startSync()
	}
}
