package memory

import (
	"bytes"
	"slices"

	"github.com/mqttdb/mqttdb/persistence/journal"
)

// damaged says how a flipped bit shows.
type damaged uint8

const (
	intact damaged = iota
	seen           // Inspect reports a stretch of damage instead of the entry
	hidden         // Inspect lists the entry, reading it gives an error
	silent         // nobody notices but the owner, by its own checksums
)

// Tamper damages a queue that is not open, for tests: the ways in which disks,
// file systems and people do. What lies in the queue is counted over all
// segments, from the oldest entry on.
type Tamper struct{ d *disk }

// Tamper returns the means to damage the named queue; nil if there is none.
func (s *Store) Tamper(queue string) *Tamper {
	s.mu.Lock()
	defer s.mu.Unlock()
	if d := s.disks[queue]; d != nil && d.open == nil {
		return &Tamper{d}
	}
	return nil
}

// Entry is an entry as it lies in a queue.
type Entry struct {
	Segment uint64
	Key     uint64
	Value   []byte // not to be modified
	Gone    bool   // forgotten, or damaged
}

// Entries returns all entries.
func (t *Tamper) Entries() []Entry {
	var out []Entry
	for _, s := range t.d.segments {
		for _, e := range s.entries {
			out = append(out, Entry{s.id, e.key, e.value, e.forgotten || e.flipped != intact})
		}
	}
	return out
}

// Segments returns the numbers of the segments.
func (t *Tamper) Segments() []uint64 {
	var out []uint64
	for _, s := range t.d.segments {
		out = append(out, s.id)
	}
	return out
}

// at returns the i-th entry.
func (t *Tamper) at(i int) *stored {
	for _, s := range t.d.segments {
		if i < len(s.entries) {
			return s.entries[i]
		}
		i -= len(s.entries)
	}
	return nil
}

// FlipSeen flips a bit of the i-th entry so that it is found on opening.
func (t *Tamper) FlipSeen(i, bit int) { t.flip(i, bit, seen) }

// FlipHidden flips a bit so that the medium finds it when the entry is read.
func (t *Tamper) FlipHidden(i, bit int) { t.flip(i, bit, hidden) }

// FlipSilent flips a bit so that the medium does not find it at all.
func (t *Tamper) FlipSilent(i, bit int) { t.flip(i, bit, silent) }

func (t *Tamper) flip(i, bit int, how damaged) {
	e := t.at(i)
	e.flipped = how
	if how == hidden { // what was read when the segment was sealed is intact
		return
	}
	e.value = bytes.Clone(e.value)
	e.value[bit/8%len(e.value)] ^= 1 << (bit % 8)
}

// Lose removes the i-th entry and leaves a stretch of damage.
func (t *Tamper) Lose(i int) { t.at(i).flipped = seen }

// LoseSegment removes a segment, as if somebody had deleted its file.
func (t *Tamper) LoseSegment(id uint64) {
	t.d.segments = slices.DeleteFunc(t.d.segments, func(s *segment) bool { return s.id == id })
}

// CutSegment removes the entries of a segment from the n-th on, as if its file
// had been cut short.
func (t *Tamper) CutSegment(id uint64, n int) {
	for _, s := range t.d.segments {
		if s.id == id && n < len(s.entries) {
			s.entries = s.entries[:n:n]
			t.d.damage = append(t.d.damage, journal.Damage{Segment: id, Bytes: int64(t.d.size)})
		}
	}
}

// SwapSegments exchanges what lies in two segments.
func (t *Tamper) SwapSegments(a, b uint64) {
	var sa, sb *segment
	for _, s := range t.d.segments {
		switch s.id {
		case a:
			sa = s
		case b:
			sb = s
		}
	}
	if sa != nil && sb != nil {
		sa.entries, sb.entries = sb.entries, sa.entries
		sa.bytes, sb.bytes = sb.bytes, sa.bytes
	}
}

// CopySegment puts a copy of a segment behind all others.
func (t *Tamper) CopySegment(id uint64) {
	for _, s := range t.d.segments {
		if s.id == id {
			twin := &segment{id: t.d.next, bytes: s.bytes}
			for _, e := range s.entries {
				again := *e
				twin.entries = append(twin.entries, &again)
			}
			t.d.segments = append(t.d.segments, twin)
			t.d.next++
			return
		}
	}
}

// Add puts an entry at the end of a segment.
func (t *Tamper) Add(segment, key uint64, value []byte) {
	for _, s := range t.d.segments {
		if s.id == segment {
			s.entries = append(s.entries, &stored{key: key, value: bytes.Clone(value), synced: true})
			s.bytes += len(value)
		}
	}
}

// Replace puts another value in the place of the i-th entry's, under its key.
func (t *Tamper) Replace(i int, value []byte) { t.at(i).value = bytes.Clone(value) }

// Recall brings back all entries that were forgotten.
func (t *Tamper) Recall() {
	for _, s := range t.d.segments {
		for _, e := range s.entries {
			e.forgotten = false
		}
	}
}

// Record returns the store record.
func (t *Tamper) Record() []byte { return bytes.Clone(t.d.record) }

// SetRecord sets the store record; nil removes it.
func (t *Tamper) SetRecord(record []byte) { t.d.record = record }
