package actors

import (
	"fmt"

	"github.com/mqttdb/mqttdb/persistence"
	"github.com/mqttdb/mqttdb/types"
)

// replaying is the part of a queue that puts back what was sent and is kept. Each
// commit stores messages anew, behind what is pending, and says that the old ones
// are kept no longer: whatever dies in between, a message is kept or pending, and not
// both.
type replaying struct {
	replays []Replay // the first one is under way
	replayRun
}

// replayRun is how far a replay is.
type replayRun struct {
	at      types.Seq // everything up to here was looked at
	through types.Seq // the last number that was given out when it began: nothing is put back twice
	found   Replayed
	refused error // why a step was
}

const replayRecords, replayBytes = 1024, 128 << 10 // of one step

// replay takes m up when those before it are done.
func (a *queue) replay(m Replay) {
	if a.handle == nil {
		m.Reply.answer(Replayed{}, a.trouble)
		return
	}
	a.replays = append(a.replays, m)
	if len(a.replays) == 1 {
		a.beginReplay()
	}
}

func (a *queue) beginReplay() {
	if !a.writeSettled() { // that was sent, too
		return
	}
	m, s := a.replays[0], a.handle.State()
	a.replayRun = replayRun{at: max(m.From, 1) - 1, through: s.Next - 1}
	if m.Since > 0 {
		a.replayRun.at = max(a.replayRun.at, a.steps.before(s.Age-m.Since))
	}
	a.replayStep()
}

func (a *queue) replayNext(m replayNext) {
	if m.life == a.life && len(a.replays) > 0 {
		a.replayStep()
	}
}

// replayStep puts back what the next stretch holds of it.
func (a *queue) replayStep() {
	records, err := a.readSent(a.replayRun.at, persistence.Limit{Records: replayRecords, Bytes: replayBytes})
	if err != nil {
		a.failRead(a.storeError("read", err))
		return
	}
	m := a.replays[0]
	var entries []persistence.Entry
	note := &Note{}
	over := len(records) == 0
	for i := range records {
		r := &records[i]
		if over = r.Seq > a.replayRun.through; over {
			break
		}
		a.replayRun.at = r.Seq
		switch {
		case m.Filter != "" && !types.Matches(m.Filter, r.Message.Topic):
		case !m.Again && !r.Original.IsZero():
			a.replayRun.found.Left++
		default:
			a.replayRun.found.Count++
			entries = append(entries, a.replayOf(r, m.Retain))
			note.Lapsed.Add(persistence.Range{First: r.Seq, Last: r.Seq})
		}
	}
	if len(entries) > 0 && !m.Count && !a.putBack(entries, note) {
		return
	}
	if over || a.replayRun.refused != nil {
		a.replayed()
		return
	}
	a.self.Tell(replayNext{a.life})
}

// replayOf is a message that is stored anew. It keeps its retain flag only if that is
// asked for: what is pending may have a newer value.
func (a *queue) replayOf(r *persistence.Record, retain bool) persistence.Entry {
	e := persistence.Entry{Message: r.Message, Enqueued: a.config.Clock.Now(), Enveloped: r.Enveloped, Original: r.Original}
	if e.Original.IsZero() {
		e.Original = r.Enqueued
	}
	e.Message.Retain = e.Message.Retain && retain
	return e
}

// putBack writes one step, in one commit, and says whether the store is there. Like a
// Requeue it takes no share of the Admission.
func (a *queue) putBack(entries []persistence.Entry, note *Note) bool {
	if !a.write() { // what waits must not get in between
		return false
	}
	if a.replayRun.refused = a.roomFor(entries); a.replayRun.refused != nil {
		a.startSync()
		return true
	}
	a.expect(entries, note, func(_ types.Seq, err error) {
		if err != nil {
			a.replayRun.refused = err
		}
	})
	if !a.write() {
		return false
	}
	a.startSync()
	return true
}

// replayed answers the first replay when what it has put back is synced, and goes on
// to the next.
func (a *queue) replayed() {
	m, found, refused := a.replays[0], a.replayRun.found, a.replayRun.refused
	a.replays = a.replays[1:]
	switch {
	case refused != nil:
		m.Reply.answer(Replayed{}, interruptedReplay(refused))
	case m.Count || found.Count == 0:
		m.Reply.answer(found, nil)
	default:
		a.answerWhenSynced(func(err error) {
			if err != nil {
				m.Reply.answer(Replayed{}, interruptedReplay(err))
				return
			}
			a.config.Logger.Info("what was sent is sent again", "messages", found.Count, "left_out", found.Left, "from", m.From, "since", m.Since, "topic", m.Filter)
			m.Reply.answer(found, nil)
		})
	}
	if a.handle != nil && len(a.replays) > 0 {
		a.beginReplay()
	}
	a.config.Changed()
}

// endReplaying answers all replays with why they were not finished.
func (a *queue) endReplaying(why error) {
	replays := a.replays
	a.replays = nil
	for _, m := range replays {
		m.Reply.answer(Replayed{}, interruptedReplay(why))
	}
}

// interruptedReplay says what became of a replay that did not come to its end.
func interruptedReplay(why error) error {
	return fmt.Errorf("%w; a part may have been put back: replay again for the rest, what was put back is left out", why)
}

// readSent reads what was sent and is kept, nothing if the store keeps nothing.
func (a *queue) readSent(after types.Seq, limit persistence.Limit) ([]persistence.Record, error) {
	r, ok := a.handle.(persistence.SentReader)
	if !ok {
		return nil, nil
	}
	return r.ReadSent(a.context(), nil, after, limit)
}
