package actors

import (
	"encoding/binary"
	"fmt"
	"maps"
	"slices"
	"sync"

	"github.com/mqttdb/mqttdb/persistence"
	"github.com/mqttdb/mqttdb/types"
)

// overflowing is the part of a queue that drops messages to stay within its
// limits, in the commit that stores what comes. What is in flight is never
// dropped [S3.5]; if all is, what comes is.
type overflowing struct {
	chosen   persistence.Ranges  // to be dropped, taken from the connection, and not recorded as such
	doubted  persistence.Ranges  // a session of an earlier process may know of these
	looked   bool                // doubted is known
	chosenOf persistence.StoreID // the store of chosen
	fresh    uint64              // drops of the commit that is being written
	first    types.Seq           // the first of them
	last     types.Seq
}

// dropsMark is the key of what drops counts.
const dropsMark = "dropped"

// drops counts what was dropped at the limits, by policy, over the life of the
// store.
type drops struct {
	mu sync.Mutex
	by [DropNewest + 1]uint64
}

var policyNames = [DropNewest + 1]string{DropOldest: "drop_oldest", DropNewest: "drop_newest"}

// unclaimed is why a message was dropped that belongs to nobody any more.
const unclaimed = "unclaimed"

// fill adds to status by what reasons so many messages were dropped.
func (d *drops) fill(status *types.QueueStatus) {
	d.mu.Lock()
	by := d.by
	d.mu.Unlock()
	left := status.Dropped
	for policy, n := range by {
		if n = min(n, left); n > 0 {
			status.DroppedBy[policyNames[policy]] = n
			left -= n
		}
	}
	if left > 0 {
		status.DroppedBy[unclaimed] = left
	}
}

// mark is what is stored when n more are dropped by a policy: 1, the version, and
// for each policy its number, all uvarints.
func (d *drops) mark(policy Overflow, n uint64) persistence.Mark {
	d.mu.Lock()
	by := d.by
	d.mu.Unlock()
	by[policy] += n
	value := []byte{1}
	for _, n := range by[DropOldest:] {
		value = binary.AppendUvarint(value, n)
	}
	return persistence.Mark{Key: dropsMark, Value: value}
}

func (d *drops) add(policy Overflow, n uint64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.by[policy] += n
}

// load takes what a mark says.
func (d *drops) load(value []byte) error {
	if len(value) == 0 || value[0] != 1 {
		return fmt.Errorf("%w: the counts of what was dropped, version %x", types.ErrCorrupt, value[:min(len(value), 1)])
	}
	var by [DropNewest + 1]uint64
	value = value[1:]
	for policy := DropOldest; policy <= DropNewest; policy++ {
		n, size := binary.Uvarint(value)
		if size <= 0 {
			return fmt.Errorf("%w: the counts of what was dropped", types.ErrCorrupt)
		}
		by[policy], value = n, value[size:]
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.by = by
	return nil
}

// loadDrops is for a store that was opened.
func (a *queue) loadDrops() {
	a.looked, a.doubted = false, nil
	if a.chosenOf != a.store { // else what was chosen is still to be dropped
		a.chosen, a.chosenOf = nil, a.store
	}
	marks := maps.Collect(a.handle.Marks(dropsMark))
	value, ok := marks[dropsMark]
	if !ok {
		value = []byte{1, 0, 0}
	}
	if err := a.queue.dropped.load(value); err != nil {
		a.config.Logger.Error("a part of the status cannot be read", "error", err)
	}
}

// overflow drops as much as the commit c, which is complete but for that, would go
// beyond the limits.
func (a *queue) overflow(c *persistence.Commit) {
	a.fresh = 0
	limits := a.config.Limits
	if limits.Overflow != Reject && limits.bounded() && len(c.Messages) > 0 {
		o := a.excess(c)
		if limits.Overflow == DropOldest {
			a.chooseOldest(&o)
			o.dropNew(c, 0, +1)
		} else {
			o.dropNew(c, len(c.Messages)-1, -1)
		}
		a.fresh = o.droppedNew
		a.first, a.last = o.first, o.last
	}
	for _, r := range a.chosen {
		c.Done = append(c.Done, persistence.Done{Range: r, Reason: types.Dropped})
		a.first, a.last = min(r.First, a.first), max(r.Last, a.last)
		if a.fresh == 0 {
			a.first, a.last = r.First, r.Last
		}
		a.fresh += r.Count()
	}
	if a.fresh > 0 {
		c.Marks = append(c.Marks, a.queue.dropped.mark(limits.Overflow, a.fresh))
	}
}

// excess is by how much a commit goes beyond the limits.
type excess struct {
	messages int64
	bytes    int64
	each     int64 // bytes that a stored message takes, on average
	alone    bool  // nothing else is stored: then one message is taken, however large

	state   persistence.State
	leaving persistence.Ranges // what the commit removes anyway

	droppedNew  uint64 // messages of the commit
	first, last types.Seq
}

func (a *queue) excess(c *persistence.Commit) excess {
	o := excess{state: a.handle.State(), leaving: slices.Clone(a.chosen)}
	for _, d := range c.Done {
		o.leaving.Add(d.Range)
	}
	pending := int64(o.state.Pending())
	if pending > 0 {
		o.each = int64(o.state.Bytes) / pending
	}
	for _, r := range o.leaving {
		for r := range o.state.Done.Missing(persistence.Range{First: max(r.First, o.state.Floor+1), Last: min(r.Last, o.state.Next-1)}) {
			pending -= int64(r.Count())
		}
	}
	o.alone = pending <= 0
	limits := a.config.Limits
	if limits.MaxMessages > 0 {
		o.messages = pending + int64(len(c.Messages)) - int64(limits.MaxMessages)
	}
	if limits.MaxBytes > 0 {
		o.bytes = pending*o.each - limits.MaxBytes
		for i := range c.Messages {
			o.bytes += storedSize(&c.Messages[i])
		}
	}
	return o
}

// storedSize is about how many bytes e takes in the store.
func storedSize(e *persistence.Entry) int64 { return int64(e.Message.Size()) + 8 }

func (o *excess) over() bool { return o.messages > 0 || o.bytes > 0 }

// less notes that n messages are dropped that take so many bytes.
func (o *excess) less(n, bytes int64) { o.messages, o.bytes = o.messages-n, o.bytes-bytes }

// chooseOldest chooses as many as there are too many, from the oldest on.
func (a *queue) chooseOldest(o *excess) {
	if !o.over() || o.alone || !a.lookForDoubted() {
		return
	}
	dropped := a.queue.claims.take(func(sent types.Seq) (list persistence.Ranges) {
		from := max(o.state.Floor, sent) + 1
		for r := range o.state.Done.Missing(persistence.Range{First: from, Last: o.state.Next - 1}) {
			for _, r := range a.doubted.Missing(r) {
				for _, r := range o.leaving.Missing(r) {
					n := min(o.tooMany(), int64(r.Count()))
					if n <= 0 {
						return list
					}
					list.Add(persistence.Range{First: r.First, Last: r.First + types.Seq(n-1)})
					o.less(n, n*o.each)
				}
			}
		}
		return list
	})
	for _, r := range dropped {
		a.chosen.Add(r)
	}
}

// tooMany is how many stored messages have to go.
func (o *excess) tooMany() int64 {
	n := o.messages
	if o.bytes > 0 {
		n = max(n, (o.bytes+o.each-1)/max(o.each, 1))
	}
	return n
}

// dropNew drops messages of the commit itself, beginning with number i and going on
// in steps. Their numbers remain, their contents need not be stored.
func (o *excess) dropNew(c *persistence.Commit, i, step int) {
	var dropped persistence.Ranges
	for left := len(c.Messages); left > 0 && o.over(); i, left = i+step, left-1 {
		e := &c.Messages[i]
		if o.alone && left == 1 && o.messages <= 0 {
			break
		}
		o.less(1, storedSize(e))
		*e = persistence.Entry{Enqueued: e.Enqueued}
		seq := o.state.Next + types.Seq(i)
		dropped.Add(persistence.Range{First: seq, Last: seq})
	}
	if n := len(dropped); n > 0 {
		o.first, o.last, o.droppedNew = dropped[0].First, dropped[n-1].Last, dropped.Count()
		for _, r := range dropped {
			c.Done = append(c.Done, persistence.Done{Range: r, Reason: types.Dropped})
		}
	}
}

// lookForDoubted finds out, once for a store that was opened, what an earlier
// process may have in flight with QoS 2. It says whether that is known.
func (a *queue) lookForDoubted() bool {
	if a.looked || a.connection.consumers != (Ref[ConsumersMessage]{}) {
		return true
	}
	var err error
	if a.doubted, err = a.findInFlight(recalled{unknown: true}); err != nil {
		a.config.Logger.Error("what is in flight cannot be found out, nothing that is stored is dropped", "error", err)
		return false
	}
	a.looked = true
	return true
}

// noteDrops is for a commit that was written.
func (a *queue) noteDrops() {
	a.chosen = nil
	if a.fresh == 0 {
		return
	}
	a.queue.dropped.add(a.config.Limits.Overflow, a.fresh)
	if a.noteLost(types.Dropped, a.fresh, a.first, a.last) {
		a.config.Logger.Warn("the queue is full: messages are dropped", "overflow", policyNames[a.config.Limits.Overflow],
			"max_messages", a.config.Limits.MaxMessages, "max_bytes", a.config.Limits.MaxBytes, "first", a.first)
	}
	a.fresh = 0
}
