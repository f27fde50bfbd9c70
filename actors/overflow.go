package actors

import (
	"slices"

	"github.com/mqttdb/mqttdb/persistence"
	"github.com/mqttdb/mqttdb/types"
)

// overflowing is the part of a queue that drops messages to stay within its
// limits, in the commit that stores what comes. What a connection has in flight is
// never dropped [S3.5]; if all is, what comes is. What is only kept goes first.
type overflowing struct {
	doubted persistence.Ranges // a session of an earlier process may know of these
	looked  bool               // doubted is known

	now        dropping
	unrecorded bool // what was chosen could not be recorded, and waits for the next commit
}

// dropping is what the commit that is being written drops.
type dropping struct {
	old persistence.Ranges // of what was stored before
	new persistence.Ranges // of its own messages
	by  dropCounts
}

// overflow makes c, which is complete but for that, drop as much as it would go beyond
// the limits.
func (a *queue) overflow(c *persistence.Commit) {
	a.now = dropping{}
	limits, chosen := a.config.Limits, a.queue.claims.undropped()
	if len(chosen) == 0 && (len(c.Messages) == 0 || !limits.bounded()) {
		return
	}
	o := overflow{state: a.handle.State(), limits: limits, commit: c}
	for _, d := range c.Done {
		o.leaving.Add(d.Range)
	}
	for _, r := range chosen { // when a commit failed
		for _, r := range o.staying(r) {
			a.now.old.Add(r)
		}
	}
	for _, r := range a.now.old {
		o.leaving.Add(r)
	}
	if len(c.Messages) > 0 && limits.bounded() {
		o.measure()
		a.giveUpKept(c, o.state, o.keptTooMany())
		switch limits.Overflow {
		case DropOldest:
			for _, r := range a.chooseOldest(&o) {
				a.now.old.Add(r)
			}
			a.now.new = o.dropNew(0, +1)
		case DropNewest:
			a.now.new = o.dropNew(len(c.Messages)-1, -1)
		}
	}
	a.now.by[DropOldest] = a.now.old.Count()
	a.now.by[limits.Overflow] += a.now.new.Count()
	for _, list := range []persistence.Ranges{a.now.old, a.now.new} {
		for _, r := range list {
			c.Done = append(c.Done, persistence.Done{Range: r, Reason: types.Dropped})
		}
	}
	if a.now.by != (dropCounts{}) {
		c.Marks = append(c.Marks, a.queue.dropped.counts().plus(a.now.by).mark())
	}
}

// noteDrops is for a commit that was written.
func (a *queue) noteDrops() {
	a.unrecorded = false
	consumers := a.connection.consumers
	a.queue.claims.dropped(consumers == (Ref[ConsumersMessage]{}))
	if a.now.by == (dropCounts{}) {
		return
	}
	a.queue.dropped.set(a.queue.dropped.counts().plus(a.now.by))
	count, first, last := uint64(0), ^types.Seq(0), types.Seq(0)
	for _, list := range []persistence.Ranges{a.now.old, a.now.new} {
		if n := len(list); n > 0 {
			count, first, last = count+list.Count(), min(first, list[0].First), max(last, list[n-1].Last)
		}
	}
	if limits := a.config.Limits; a.noteLost(types.Dropped, count, first, last) {
		a.config.Logger.Warn("the queue is full: messages are dropped", "overflow", limits.Overflow,
			"max_messages", limits.MaxMessages, "max_bytes", limits.MaxBytes, "first", first)
	}
	if len(a.now.old) > 0 {
		consumers.Tell(removed{a.now.old})
	}
	a.now = dropping{}
}

// dropsDue says whether something is to be dropped that no commit has recorded yet.
func (a *queue) dropsDue() bool { return !a.unrecorded && len(a.queue.claims.undropped()) > 0 }

// overflow is by how much a commit goes beyond the limits.
type overflow struct {
	state   persistence.State
	limits  Limits
	commit  *persistence.Commit
	leaving persistence.Ranges // what it removes anyway

	stored   int64 // messages that stay
	each     int64 // bytes that one of them takes, on average
	messages int64 // too many
	bytes    int64
}

// staying returns what of r is pending, and not removed by the commit.
func (o *overflow) staying(r persistence.Range) (list persistence.Ranges) {
	for r := range o.state.Done.Missing(persistence.Range{First: max(r.First, o.state.Floor+1), Last: min(r.Last, o.state.Next-1)}) {
		list = append(list, o.leaving.Missing(r)...)
	}
	return list
}

// measure finds out how much is too much.
func (o *overflow) measure() {
	o.stored = int64(o.state.Pending())
	if o.stored > 0 {
		o.each = int64(o.state.Bytes) / o.stored
	}
	for _, r := range o.leaving {
		r.First, r.Last = max(r.First, o.state.Floor+1), min(r.Last, o.state.Next-1)
		if r.First <= r.Last {
			o.stored -= int64(r.Count() - o.state.Done.Within(r))
		}
	}
	o.messages, o.bytes = -1<<62, -1<<62
	if most := int64(o.limits.MaxMessages); most > 0 {
		o.messages = o.stored + int64(len(o.commit.Messages)) - most
	}
	if most := o.limits.MaxBytes; most > 0 {
		o.bytes = o.stored*o.each - most
		for i := range o.commit.Messages {
			o.bytes += storedSize(&o.commit.Messages[i])
		}
	}
}

// storedSize is about how many bytes e takes in the store.
func storedSize(e *persistence.Entry) int64 { return int64(e.Message.Size()) + 8 }

// tooMany is how many messages have to go of which one takes so many bytes.
func tooMany(messages, bytes, each int64) int64 {
	n := max(messages, 0)
	if bytes > 0 {
		n = max(n, (bytes+each-1)/max(each, 1))
	}
	return n
}

// keptTooMany is how many messages that are only kept have to go. Those that the
// commit itself puts back, or lets lapse, are not among them.
func (o *overflow) keptTooMany() uint64 {
	lapsed := int64(0)
	for _, r := range o.commit.Lapsed {
		lapsed += int64(o.state.Sent.Within(r))
	}
	kept := int64(o.state.Kept) - lapsed
	if kept <= 0 {
		return 0
	}
	each := int64(o.state.KeptBytes / o.state.Kept)
	return uint64(min(tooMany(o.messages+kept, o.bytes+kept*each, each), kept))
}

// less notes that n messages are dropped that take so many bytes.
func (o *overflow) less(n, bytes int64) { o.messages, o.bytes = o.messages-n, o.bytes-bytes }

// chooseOldest chooses as many stored messages as there are too many, from the oldest
// on. One message is kept if it is the only one, however large what comes.
func (a *queue) chooseOldest(o *overflow) persistence.Ranges {
	if tooMany(o.messages, o.bytes, o.each) == 0 || o.stored <= 0 || !a.lookForDoubted() {
		return nil
	}
	return a.queue.claims.choose(func(sent types.Seq) (list persistence.Ranges) {
		for r := range o.state.Done.Missing(persistence.Range{First: max(o.state.Floor, sent) + 1, Last: o.state.Next - 1}) {
			for _, r := range a.doubted.Missing(r) {
				for _, r := range o.leaving.Missing(r) {
					n := min(tooMany(o.messages, o.bytes, o.each), int64(r.Count()))
					if n == 0 {
						return list
					}
					list.Add(persistence.Range{First: r.First, Last: r.First + types.Seq(n-1)})
					o.stored -= n
					o.less(n, n*o.each)
				}
			}
		}
		return list
	})
}

// dropNew drops messages of the commit itself, beginning with number i and going on
// in steps. Their numbers remain, their contents need not be stored. If nothing else
// is stored one is taken, however large.
func (o *overflow) dropNew(i, step int) (list persistence.Ranges) {
	for left := len(o.commit.Messages); left > 0 && (o.messages > 0 || o.bytes > 0); i, left = i+step, left-1 {
		if o.stored <= 0 && left == 1 {
			break
		}
		e := &o.commit.Messages[i]
		o.less(1, storedSize(e))
		*e = persistence.Entry{Enqueued: e.Enqueued}
		list.Add(rangeOf(o.state.Next + types.Seq(i)))
	}
	return list
}

// lookForDoubted finds out, once for a store that was opened, what an earlier
// process may have in flight with QoS 2. It says whether that is known.
func (a *queue) lookForDoubted() bool {
	if a.looked || a.connection.consumers != (Ref[ConsumersMessage]{}) {
		return true
	}
	doubted, err := a.findInFlight(recalled{unknown: true})
	if err != nil {
		a.config.Logger.Error("what is in flight cannot be found out, nothing that is stored is dropped", "error", err)
		return false
	}
	a.doubted, a.looked = slices.Clone(doubted), true
	return true
}
