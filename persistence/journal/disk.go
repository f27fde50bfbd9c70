package journal

import "slices"

// entry is the place of an entry in the log.
type entry struct {
	key, segment uint64
	delta        bool // it has one
}

// maxDeltas is how many entries with a delta may follow the newest state: they
// are what a recovery reads one by one, and what memory holds keys of.
const maxDeltas = 8192

// around is what a medium adds to an entry, in bytes, nearly.
const around = 44

// disk keeps account of what lies in the log beside the batches in the index.
type disk struct {
	segments []Segment // in order, with their used bytes
	written  uint64    // bytes appended since the queue was opened
	payload  uint64    // bytes of the payloads that came in that time

	newest    entry   // the newest state
	stateSize int     // of it, in bytes
	states    []entry // older states that are still kept, newest first
	deltas    int     // entries with a delta above the newest state
	garbage   []entry // entries that nobody needs, see forgettable
	covered   []span  // likewise, but they may serve if what covers them cannot be read
	added     int     // entries written since the last compaction

	// Bytes appended since the newest state: what was written again, and the rest.
	rewritten, fresh uint64
}

// wrote counts an entry of size bytes, whose messages were written again or not.
func (d *disk) wrote(segment uint64, size int, again bool) {
	n := len(d.segments)
	if n == 0 || d.segments[n-1].ID != segment {
		d.segments = append(d.segments, Segment{ID: segment})
		n++
	}
	d.segments[n-1].Bytes += int64(size) + around
	d.written += uint64(size) + around
	d.added++
	if again {
		d.rewritten += uint64(size) + around
	} else {
		d.fresh += uint64(size) + around
	}
}

// total is how many bytes the log has.
func (d *disk) total() uint64 {
	var n uint64
	for _, s := range d.segments {
		n += uint64(s.Bytes)
	}
	return n
}

// stateWritten notes the newest state. Of the others the newest is kept, and
// the newest that lies in another segment than e does.
func (d *disk) stateWritten(e entry) {
	if d.newest.key != 0 {
		d.states = slices.Insert(d.states, 0, d.newest)
	}
	d.newest, d.deltas, d.rewritten, d.fresh = e, 0, 0, 0
	elsewhere := slices.IndexFunc(d.states, func(s entry) bool { return s.segment != e.segment })
	kept := d.states[:0]
	for i, s := range d.states {
		if i == 0 || i == elsewhere {
			kept = append(kept, s)
		} else {
			d.garbage = append(d.garbage, s)
		}
	}
	d.states = kept
}

// forgettable says whether e, which nobody needs, may be forgotten: a delta
// only when the two newest states include it.
func (d *disk) forgettable(e entry) bool {
	return !e.delta || len(d.states) > 0 && e.key <= d.states[0].key
}

// needed is the lowest segment that a state keeps: everything from there on is
// needed to recover if the newest states are lost.
func (d *disk) needed() uint64 {
	low := d.newest.segment
	for _, s := range d.states {
		low = min(low, s.segment)
	}
	return low
}

// mostSmall is how many segments that are not half full may be given back before
// that is done whatever they hold.
const mostSmall = 16

// crowded says whether there are so many small segments, as each start of the
// queue leaves one, that it is worth moving what lies in front of them: fewer
// than that, or than there are others, are not.
func (d *disk) crowded(size int64) bool {
	needed, small := d.needed(), 0
	for _, s := range d.segments {
		if s.ID < needed && s.Bytes < size/2 {
			small++
		}
	}
	return small > max(mostSmall, len(d.segments)-small)
}

// dropped forgets what lay below segment.
func (d *disk) dropped(segment uint64) {
	d.segments = slices.DeleteFunc(d.segments, func(s Segment) bool { return s.ID < segment })
}
