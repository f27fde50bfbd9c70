package actors

import (
	"errors"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/mqttdb/mqttdb/persistence"
	"github.com/mqttdb/mqttdb/types"
)

// remembering is the part of a queue whose store cannot be written any more, and can
// be read: nothing is taken, what is stored is sent, and what has left is remembered
// here until it can be recorded. So nothing is sent twice on that account, while
// the process lives.
type remembering struct {
	kept  persistence.Queue   // the store that has failed; nil: there is none to read
	of    persistence.StoreID // what is remembered is about this store
	left  [types.Reasons]persistence.Set
	posts []persistence.Done // dead letters, with their causes
	marks map[string][]byte  // by their keys

	// uncertain: the write that failed had marks, so that what the store says of
	// them may be what nobody will find there again.
	uncertain bool

	unread bool      // what is there could not be read, lately
	before uint64    // what had left when the store was last found to be gone
	since  time.Time // when it was first found to be, with no more having left since
}

// mostRemembered is how much is remembered of what is scattered, in bytes: beyond
// that the connection keeps what it settles to itself, and stops with a full window.
const mostRemembered = 8 << 20

// remembers says whether a message has left.
func (k *remembering) remembers(seq types.Seq) bool {
	for i := range k.left {
		if k.left[i].Contains(seq) {
			return true
		}
	}
	return false
}

// count is how many messages have left.
func (k *remembering) count() (n uint64) {
	for i := range k.left {
		n += k.left[i].Count()
	}
	return n
}

// past returns the last of the numbers that follow each other from behind after on
// and have left, or after.
func (k *remembering) past(after types.Seq) types.Seq {
	for moved := true; moved; {
		moved = false
		for i := range k.left {
			for r := range k.left[i].From(after + 1) {
				if r.First == after+1 {
					after, moved = r.Last, true
				}
				break
			}
		}
	}
	return after
}

// size is about how much memory all of it takes, in bytes.
func (k *remembering) size() (n int) {
	for i := range k.left {
		n += k.left[i].Size()
	}
	return n + len(k.posts)*persistence.MaxCause
}

// forget is for what is recorded, or of no use.
func (k *remembering) forget() {
	*k = remembering{kept: k.kept, uncertain: k.uncertain}
}

// snapshot is what has left, for others to read.
func (k *remembering) snapshot() *[types.Reasons]persistence.Set {
	var all [types.Reasons]persistence.Set
	for i := range k.left {
		all[i] = k.left[i].Snapshot()
	}
	return &all
}

// noteLeft takes over what was settled, and says so as if it were recorded.
func (a *queue) noteLeft() {
	if a.kept == nil || !a.anySettled() || a.remembering.size() > mostRemembered {
		return
	}
	a.of = a.store
	for _, d := range a.settledDone(nil) {
		a.left[d.Reason].Add(d.Range)
		if d.Cause != "" {
			a.posts = append(a.posts, d)
		}
	}
	if a.remembering.marks == nil {
		a.remembering.marks = make(map[string][]byte)
	}
	for _, m := range a.pendingSettled.marks {
		a.remembering.marks[m.Key] = m.Value
	}
	a.sinceCheck = 0
	a.tellSettled()
	a.publish(func(s *queueStatus) { s.left = a.remembering.snapshot() })
	a.config.Changed()
}

// recordRemembered writes what is remembered to the store that was opened.
func (a *queue) recordRemembered() error {
	if a.of != a.store {
		a.forget()
		return nil
	}
	const most = 4096 // in one commit
	list := a.posts   // before the numbers alone: these have causes
	for reason := range a.left {
		for r := range a.left[reason].All() {
			list = append(list, persistence.Done{Range: r, Reason: types.Reason(reason)})
		}
	}
	var marks []persistence.Mark
	for key, value := range a.remembering.marks {
		marks = append(marks, persistence.Mark{Key: key, Value: value})
	}
	for len(list) > 0 || len(marks) > 0 {
		n, m := min(len(list), most), min(len(marks), most)
		c := persistence.Commit{Done: list[:n], Marks: marks[:m:m]}
		a.keep(&c)
		_, err := a.handle.Write(a.context(), c)
		if persistence.Refused(err) {
			a.config.Logger.Error("what has left the queue cannot be recorded", "error", err)
		} else if err != nil {
			return err
		}
		list, marks = list[n:], marks[m:]
	}
	if n := a.remembering.count(); n > 0 {
		a.config.Logger.Info("what was sent while the queue could not store is recorded", "messages", n)
	}
	a.forget()
	return nil
}

// doubts says whether the store may take marks for written that it will not have
// when it was opened again.
func (a *queue) doubts() bool {
	marks := func(r request) bool { return r.Note != nil && len(r.Note.Marks) > 0 }
	return len(a.scratch.Marks) > 0 || slices.ContainsFunc(a.unsynced, marks) || slices.ContainsFunc(a.strict, marks)
}

// readKept answers from a store that cannot be written.
func (a *queue) readKept(m ReadMarks) {
	if a.uncertain {
		m.Reply.answer(Marks{}, a.trouble)
		return
	}
	a.noteLeft()
	found := make(map[string][]byte)
	for key, value := range a.kept.Marks(m.Prefix) {
		found[key] = value
	}
	for key, value := range a.remembering.marks {
		if strings.HasPrefix(key, m.Prefix) {
			found[key] = value
		}
	}
	marks := Marks{Store: a.store}
	for _, key := range slices.Sorted(maps.Keys(found)) {
		if value := found[key]; len(value) > 0 {
			marks.List = append(marks.List, persistence.Mark{Key: key, Value: value})
		}
	}
	m.Reply.answer(marks, nil)
}

// fetchKept answers from a store that cannot be written.
func (a *queue) fetchKept(m Fetch) {
	if m.Dead || m.Sent {
		m.Reply.answer(Fetched{}, a.trouble)
		return
	}
	a.noteLeft()
	f := Fetched{Through: max(m.After, a.committed), Last: a.committed, Store: a.store}
	for after := a.past(m.After); after < a.committed; after = a.past(after) {
		records, err := a.kept.Read(a.context(), nil, after, m.Limit)
		if err != nil {
			a.config.Logger.Error("what is stored cannot be read", "error", err)
			a.unread = true
			m.Reply.answer(Fetched{}, a.trouble)
			return
		}
		if len(records) == 0 {
			break
		}
		after = records[len(records)-1].Seq
		f.Records = records[:0]
		for _, r := range records {
			if r.Seq <= a.committed && !a.remembers(r.Seq) {
				f.Records = append(f.Records, r)
			}
		}
		if len(f.Records) > 0 {
			f.Through = min(after, a.committed)
			break
		}
	}
	if m.safe { // what is not synced cannot be now
		for i, r := range f.Records {
			if r.Seq > a.safe && r.Message.QoS == 2 {
				f.Records, f.Through = f.Records[:i], r.Seq-1
				f.Last = f.Through
				break
			}
		}
	}
	if m.drain {
		a.supplying = supplying{hungry: f.Through >= a.committed}
	}
	m.Reply.answer(f, nil)
}

// letGo closes the store that cannot be written.
func (a *queue) letGo() {
	if a.kept == nil {
		return
	}
	kept := a.kept
	a.kept = nil
	a.publishClosed(a.queue.State())
	_ = kept.Close(a.context()) // it has failed already
}

// goneFor is how long a store that is gone is waited for when nothing comes out of
// it: somebody may put it back.
const goneFor = 30 * time.Second

// mayReopen says whether the store that cannot be written should be closed, and
// opened anew: its place can be written. A place that is gone is begun anew when
// nothing more comes out of what is left of it.
func (a *queue) mayReopen() error {
	p, ok := a.kept.(persistence.Prober)
	if !ok {
		return nil
	}
	err := p.Probe(a.context())
	if err == nil {
		return nil
	}
	if a.unread { // that may be better now
		a.unread = false
		a.tellOpened()
	}
	if !errors.Is(err, types.ErrGone) {
		return err
	}
	left, pending, now := a.remembering.count(), a.queue.State().Pending(), a.config.Clock.Now()
	if a.since.IsZero() || left != a.before {
		a.before, a.since = left, now
	}
	if pending > 0 && now.Sub(a.since) < goneFor {
		return err
	}
	a.config.Logger.Error("the store was removed while it was in use, and is begun anew", "messages_lost", pending, "error", err)
	return nil
}
