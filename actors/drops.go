package actors

import (
	"encoding/binary"
	"fmt"
	"sync"

	"github.com/mqttdb/mqttdb/persistence"
	"github.com/mqttdb/mqttdb/types"
)

// dropsMark is the key of what drops counts.
const dropsMark = "dropped"

// drops counts what was dropped at the limits, by policy, over the life of the
// store. It may be used concurrently.
type drops struct {
	mu sync.Mutex
	by dropCounts
}

type dropCounts [DropNewest + 1]uint64

func (c dropCounts) plus(o dropCounts) dropCounts {
	for policy := range c {
		c[policy] += o[policy]
	}
	return c
}

// unclaimed is why a message was dropped that belonged to nobody any more.
const unclaimed = "unclaimed"

// fill adds to status for what reasons so many messages were dropped.
func (d *drops) fill(status *types.QueueStatus) {
	left := status.Dropped
	for policy, n := range d.counts() {
		if n = min(n, left); n > 0 {
			status.DroppedBy[Overflow(policy).String()] = n
			left -= n
		}
	}
	if left > 0 {
		status.DroppedBy[unclaimed] = left
	}
}

func (d *drops) counts() dropCounts {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.by
}

func (d *drops) set(c dropCounts) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.by = c
}

// mark is what is stored of it: 1, the version, and for each policy that drops its
// number, all uvarints.
func (c dropCounts) mark() persistence.Mark {
	value := []byte{1}
	for _, n := range c[DropOldest:] {
		value = binary.AppendUvarint(value, n)
	}
	return persistence.Mark{Key: dropsMark, Value: value}
}

// readDrops reads a mark.
func readDrops(value []byte) (c dropCounts, err error) {
	if len(value) == 0 || value[0] != 1 {
		return c, fmt.Errorf("mark %q: %w", dropsMark, types.ErrCorrupt)
	}
	value = value[1:]
	for policy := DropOldest; policy <= DropNewest; policy++ {
		n, size := binary.Uvarint(value)
		if size <= 0 {
			return dropCounts{}, fmt.Errorf("mark %q: %w", dropsMark, types.ErrCorrupt)
		}
		c[policy], value = n, value[size:]
	}
	return c, nil
}

// loadDrops is for a store that was opened.
func (a *queue) loadDrops() {
	counts := dropCounts{}
	for key, value := range a.handle.Marks(dropsMark) {
		if key != dropsMark {
			continue
		}
		var err error
		if counts, err = readDrops(value); err != nil {
			a.config.Logger.Error("why messages were dropped before cannot be read", "error", err)
		}
	}
	a.queue.dropped.set(counts)
}
