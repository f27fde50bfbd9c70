//go:build !js

package nutsdb

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"math"
	"os"
	"slices"

	"github.com/mqttdb/mqttdb/persistence"
	"github.com/mqttdb/mqttdb/persistence/journal"
)

// segment is what was found of a data file.
type segment struct {
	seal
	known bool // from its manifest: what is damaged was reported before
	stale bool // its manifest is missing, or does not say all
}

// gap is a run of segments whose files are missing, both ends included.
type gap struct{ first, last uint64 }

// readSegments finds out what lies in the segments.
func (s *source) readSegments(ctx context.Context, record []byte) error {
	var store *persistence.StoreID
	if id, err := persistence.DecodeStoreRecord(record); err == nil {
		store = &id
	} else if id, ok := s.firstID(s.names.data); ok {
		store = &id
	}
	for _, id := range s.names.data {
		if err := ctx.Err(); err != nil {
			return err
		}
		seg, err := s.readSegment(id, store)
		if err != nil {
			return fmt.Errorf("read segment %d: %w", id, err)
		}
		s.segments = append(s.segments, seg)
	}
	s.window = window{}
	if store != nil {
		s.disown(*store)
	}
	s.leaveOutEmpty()
	s.findUnused()
	s.findGaps()
	s.findShort()
	return nil
}

// readSegment reads the manifest of a segment or, if that does not fit, the
// segment.
func (s *source) readSegment(id uint64, store *persistence.StoreID) (segment, error) {
	f, err := os.Open(segmentFile(s.dir, id, dataSuffix))
	if err != nil {
		return segment{}, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return segment{}, err
	}
	length := info.Size()
	if b, err := os.ReadFile(segmentFile(s.dir, id, sealSuffix)); err == nil && !s.distrust {
		m, err := decodeSeal(b)
		if err == nil && m.id == id && m.length == length && m.fits(f) {
			return segment{seal: m, known: true}, nil
		}
	}
	size := min(length, s.segmentSize) // NutsDB sees no more
	s.window.reset(f, size)
	m := seal{id: id, follows: id - 1, length: length, content: scan(&s.window, store)}
	if length > size {
		m.damage = append(m.damage, extent{size, length - size})
	}
	return segment{seal: m, stale: true}, nil
}

// fits says whether the last entry is in the file where the manifest says it
// is. That the others are is found out when they are read.
func (s seal) fits(f io.ReaderAt) bool {
	if len(s.entries) == 0 {
		return true
	}
	last := s.entries[len(s.entries)-1]
	b := make([]byte, min(entryHeaderMax+keySize, s.length-last.offset))
	if _, err := f.ReadAt(b, last.offset); err != nil {
		return false
	}
	h, ok := parseEntryHeader(b)
	return ok && h.value == int64(last.size) && h.delete == last.delete &&
		len(b) >= h.length+keySize && string(b[h.length:h.length+keySize]) == string(keyBytes(last.key))
}

// empty says that a segment holds nothing that could be seen.
func (s segment) empty() bool { return len(s.entries) == 0 && len(s.damage) == 0 }

// leaveOutEmpty leaves out the segments that nothing was written to, which are
// the last ones, and those that Drop was about to remove, which are the first.
func (s *source) leaveOutEmpty() {
	for n := len(s.segments); n > 0 && s.segments[n-1].empty(); n-- {
		s.segments = s.segments[:n-1]
	}
	for len(s.segments) > 0 && s.segments[0].length == 0 {
		s.segments = s.segments[1:]
	}
}

// findUnused finds the segments that have no file because nothing was ever
// written to them.
func (s *source) findUnused() {
	for _, id := range s.names.seals {
		if s.has(id) {
			continue
		}
		b, err := os.ReadFile(segmentFile(s.dir, id, sealSuffix))
		if err != nil {
			continue
		}
		if m, err := decodeSeal(b); err == nil && m.id == id && m.length == 0 {
			s.unused = append(s.unused, id)
		}
	}
}

// findGaps finds the segments that are missing: Drop removes from the front
// only, so numbers follow each other. A gap is known once the manifest of the
// segment behind it says so.
func (s *source) findGaps() {
	for i := 1; i < len(s.segments); i++ {
		before, seg := s.segments[i-1].id, &s.segments[i]
		between := gap{before + 1, seg.id - 1}
		if between.last < between.first || seg.known && seg.follows == before || s.allUnused(between) {
			continue
		}
		s.gaps = append(s.gaps, between)
		seg.follows, seg.stale = before, true
	}
	last := s.lastUntraced()
	if s.names.store && len(s.names.data)+len(s.unused) == 0 { // the record comes after a segment
		last = 1
	}
	if strays := s.strays(); len(strays) > 0 {
		last = max(last, strays[len(strays)-1])
	}
	if last > 0 {
		s.gaps = append(s.gaps, gap{s.lastID() + 1, last})
	}
}

// lastUntraced is the last segment behind those that hold something which left neither
// file nor manifest, though there is one behind it that nothing was written to: that is
// made when the one before it is there, and goes with a manifest. 0: none.
func (s *source) lastUntraced() uint64 {
	if len(s.segments) == 0 {
		return 0
	}
	for i := len(s.names.data) - 1; i >= 0 && s.names.data[i] > s.lastID(); i-- {
		id := s.names.data[i] - 1
		_, file := slices.BinarySearch(s.names.data, id)
		_, manifest := slices.BinarySearch(s.names.seals, id)
		if id > s.lastID() && !file && !manifest {
			return id
		}
	}
	return 0
}

// allUnused says whether nothing was ever written to any segment of g.
func (s *source) allUnused(g gap) bool {
	from, _ := slices.BinarySearch(s.unused, g.first)
	to, _ := slices.BinarySearch(s.unused, g.last+1)
	return uint64(to-from) == g.last-g.first+1
}

// strays are the manifests of segments that are missing behind the last one.
func (s *source) strays() []uint64 {
	i, _ := slices.BinarySearch(s.names.seals, s.lastID()+1)
	return slices.DeleteFunc(slices.Clone(s.names.seals[i:]), func(id uint64) bool {
		return slices.Contains(s.unused, id)
	})
}

// lastID is the number of the last segment that holds something, 0 if none does.
func (s *source) lastID() uint64 {
	if n := len(s.segments); n > 0 {
		return s.segments[n-1].id
	}
	return 0
}

// findShort finds what a scan of one segment cannot: all segments but the last
// one were full, so that one of them which is empty was more; and each is made with
// its full length, so that one which is short was cut off by somebody, and not by
// the end of a process.
func (s *source) findShort() {
	for i := range s.segments {
		switch seg := &s.segments[i]; {
		case seg.known:
		case seg.empty():
			seg.damage = []extent{{0, max(seg.length, s.segmentSize)}}
		case seg.length < s.segmentSize:
			seg.damage = joined(append(seg.damage, extent{seg.length, s.segmentSize - seg.length}))
			seg.torn = false
		}
	}
}

// disown makes damage of the entries of other stores, as in a file that somebody put
// in the place of one of ours: they must not hide entries of ours with the same keys.
// If there is none of ours, it is for the owner to say whose place this is.
func (s *source) disown(store persistence.StoreID) {
	ours := func(e stored) bool { return e.delete || len(e.head) < 24 || persistence.StoreID(e.head[8:24]) == store }
	some := slices.ContainsFunc(s.segments, func(seg segment) bool {
		return slices.ContainsFunc(seg.entries, func(e stored) bool { return !e.delete && ours(e) })
	})
	if !some {
		return
	}
	for i := range s.segments {
		seg := &s.segments[i]
		var kept []stored
		for k, e := range seg.entries {
			if ours(e) {
				kept = append(kept, e)
				continue
			}
			end := seg.used
			if k+1 < len(seg.entries) {
				end = seg.entries[k+1].offset
			}
			seg.damage = append(seg.damage, extent{e.offset, end - e.offset})
		}
		if len(kept) == len(seg.entries) {
			continue
		}
		seg.entries, seg.stale = kept, true
		slices.SortFunc(seg.damage, func(a, b extent) int { return cmp.Compare(a.offset, b.offset) })
		seg.damage = joined(seg.damage)
	}
}

// joined makes one of extents that touch or overlap; they are in order.
func joined(list []extent) []extent {
	out := list[:1]
	for _, x := range list[1:] {
		last := &out[len(out)-1]
		if x.offset > last.end() {
			out = append(out, x)
			continue
		}
		last.bytes = max(last.end(), x.end()) - last.offset
	}
	return out
}

// report fills c with what was found.
func (s *source) report(c *journal.Contents) {
	count, forgotten := 0, make(map[uint64]bool)
	for _, seg := range s.segments {
		count += len(seg.entries)
		for _, e := range seg.entries {
			if e.delete {
				forgotten[e.key] = true
			}
		}
	}
	c.Entries = make([]journal.Entry, 0, count)
	rising := true
	for i, seg := range s.segments {
		c.Segments = append(c.Segments, journal.Segment{ID: seg.id, Bytes: seg.used, Ended: seg.known})
		for _, e := range seg.entries {
			if e.delete || forgotten[e.key] {
				continue
			}
			if n := len(c.Entries); n > 0 && c.Entries[n-1].Key >= e.key {
				rising = false
			}
			c.Entries = append(c.Entries, journal.Entry{Key: e.key, Segment: seg.id, Size: e.size, Head: e.head})
		}
		if seg.known {
			continue
		}
		for _, d := range seg.damage {
			last := i == len(s.segments)-1 && d.end() == seg.used && seg.torn
			c.Damage = append(c.Damage, journal.Damage{Segment: seg.id, Offset: d.offset, Bytes: d.bytes, Last: last})
		}
	}
	if !rising {
		c.Entries = lastOfEach(c.Entries)
	}
	for _, g := range s.gaps {
		missing := min(int64(g.last-g.first+1), math.MaxInt64/s.segmentSize)
		c.Damage = append(c.Damage, journal.Damage{Segment: g.first, Bytes: missing * s.segmentSize})
	}
}

// lastOfEach leaves one entry of each key, the one that NutsDB finds. There is
// more than one only if somebody copied files.
func lastOfEach(entries []journal.Entry) []journal.Entry {
	at := make(map[uint64]int, len(entries))
	for i, e := range entries {
		at[e.Key] = i
	}
	i := -1
	return slices.DeleteFunc(entries, func(e journal.Entry) bool {
		i++
		return at[e.Key] != i
	})
}
