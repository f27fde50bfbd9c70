package actors

import (
	"slices"

	"github.com/mqttdb/mqttdb/persistence"
	"github.com/mqttdb/mqttdb/types"
)

// note takes m into the next commit, behind what waits for it already.
func (a *queue) note(m Note) {
	reply := m.Reply
	if a.handle != nil && m.Store != (persistence.StoreID{}) && m.Store != a.store {
		reply.answer(Noted{}, types.ErrInterrupted)
		return
	}
	a.enqueue(Enqueue{Note: &m, Done: CompletionFunc(func(_ types.Seq, err error) { reply.answer(Noted{}, err) })}, nil)
}

// expect takes a request of the queue itself, with a Note, into the next commit. It
// takes no share of the Admission.
func (a *queue) expect(entries []persistence.Entry, n *Note, done func(first types.Seq, err error)) {
	a.notes++
	a.waiting = append(a.waiting, request{Enqueue: Enqueue{Entries: entries, Note: n, Done: CompletionFunc(done)}})
}

// answerWhenSynced calls answer when all that is written is synced, whatever the
// policy, or with why it may not be.
func (a *queue) answerWhenSynced(answer func(error)) {
	a.expect(nil, &Note{Sync: true}, func(_ types.Seq, err error) { answer(err) })
	if a.write() {
		a.startSync()
	}
}

// size is about how many bytes n takes in a commit.
func (n *Note) size() int {
	if n == nil {
		return 0
	}
	const run = 32
	size := run * (len(n.Done) + len(n.Released) + len(n.Abandoned) + len(n.Freed) + len(n.Lapsed))
	size += run * (len(n.Closed) + 8*len(n.Ended))
	for _, m := range n.Marks {
		size += run + len(m.Key) + len(m.Value)
	}
	return size
}

// join adds n to c.
func (n *Note) join(c *persistence.Commit) {
	if n == nil {
		return
	}
	c.Done = append(c.Done, n.Done...)
	c.Abandoned = append(c.Abandoned, n.Abandoned...)
	c.Marks = append(c.Marks, n.Marks...)
	for _, r := range n.Released {
		c.Released.Add(r)
	}
	for _, r := range n.Freed {
		c.Freed.Add(r)
	}
	for _, r := range n.Lapsed {
		c.Lapsed.Add(r)
	}
	if n.Withdrawn {
		c.Withdrawn.Add(persistence.Range{First: 1, Last: 1<<63 - 1})
	}
}

// beginCommit makes c one that holds what was settled.
func (a *queue) beginCommit(c *persistence.Commit) {
	clear(c.Marks)
	*c = persistence.Commit{
		Messages: c.Messages[:0], Done: a.settledDone(c.Done[:0]), Released: c.Released[:0],
		Abandoned: c.Abandoned[:0], Marks: append(c.Marks[:0], a.marks...),
		Freed: c.Freed[:0], Lapsed: c.Lapsed[:0],
	}
}

// keepStrict moves those of the first requests, whole in number, that are
// answered only when they are synced to a list of their own, and returns how
// many remain.
func (a *queue) keepStrict(whole int) int {
	if a.config.SyncWithin == 0 {
		return whole // all are
	}
	i := 0
	for range whole {
		if n := a.waiting[i].Note; n != nil && n.Sync {
			a.strict = append(a.strict, a.waiting[i])
			a.waiting = slices.Delete(a.waiting, i, i+1)
			continue
		}
		i++
	}
	return i
}

// readMarks answers with the marks as they are behind all that was told before.
func (a *queue) readMarks(m ReadMarks) {
	if a.handle != nil && (a.notes > 0 || len(a.marks) > 0) && a.write() {
		a.startSync()
	}
	if a.kept != nil {
		a.readKept(m)
		return
	}
	if a.handle == nil {
		m.Reply.answer(Marks{}, a.trouble)
		return
	}
	marks := Marks{Store: a.handle.State().StoreID}
	for key, value := range a.handle.Marks(m.Prefix) {
		marks.List = append(marks.List, persistence.Mark{Key: key, Value: value})
	}
	m.Reply.answer(marks, nil)
}
