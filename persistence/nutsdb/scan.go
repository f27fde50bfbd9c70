//go:build !js

package nutsdb

import (
	"bytes"
	"cmp"
	"errors"
	"slices"

	"github.com/mqttdb/mqttdb/persistence"
	"github.com/mqttdb/mqttdb/types"
)

// content is what lies in a data file.
type content struct {
	entries []stored
	damage  []extent
	used    int64 // up to the last byte that is not zero
	torn    bool  // what is damaged at the end is an entry of which less was written than it has
}

// scan reads the file in w from its beginning. Behind damage it looks for the
// next entry of the given store (of any, if store is nil).
//
// An entry behind damage must be one by NutsDB's checksum, by the checksum of
// the header in its value, by its key, which is the LSN in that header, and by
// the store id: the payload of a message may well hold bytes that look like an
// entry, but whoever made it does not know the id.
func scan(w *window, store *persistence.StoreID) content {
	var c content
	var heads headRoom
	off := int64(0)
	for off < w.size {
		e, n, ok := entryAt(w, off)
		if ok {
			e.head = heads.keep(e.head)
			c.entries = append(c.entries, e)
			off += n
			c.used = off
			continue
		}
		if w.data(off) == w.size {
			break
		}
		next, found := resync(w, off, store)
		if !found {
			next = w.dataEnd(off)
		}
		c.damage = append(c.damage, extent{off, next - off})
		c.used = next
		if !found {
			c.torn = tornAt(w, off, next)
			break
		}
		off = next
	}
	for _, x := range w.unreadable {
		covered := slices.ContainsFunc(c.damage, func(d extent) bool { return d.offset <= x.offset && x.end() <= d.end() })
		if !covered {
			c.damage = append(c.damage, x)
			c.used = max(c.used, x.end())
		}
	}
	slices.SortFunc(c.damage, func(a, b extent) int { return cmp.Compare(a.offset, b.offset) })
	return c
}

// entryAt reads the entry at off, if there is an intact one, and its length.
func entryAt(w *window, off int64) (e stored, n int64, ok bool) {
	h, ok := parseEntryHeader(w.at(off, entryHeaderMax))
	if !ok || off+h.total() > w.size {
		return e, 0, false
	}
	if e, ok = parseEntry(w.at(off, int(h.total())), h); !ok {
		return e, 0, false
	}
	e.offset = off
	return e, h.total(), true
}

// tornAt says whether the bytes from off to end are the beginning of an entry
// that would be longer: a write that was cut off. An entry that is there from
// its first to its last byte, and wrong, was complete once.
func tornAt(w *window, off, end int64) bool {
	h, ok := parseEntryHeader(w.at(off, entryHeaderMax))
	if !ok {
		return end-off < entryHeaderMax // not even its header is there
	}
	return off+h.total() > end
}

// resync returns the offset of the next entry behind off.
func resync(w *window, off int64, store *persistence.StoreID) (int64, bool) {
	for pos := off; ; {
		b := w.at(pos, readAhead)
		last := pos+int64(len(b)) == w.size
		for i := 0; ; i++ {
			hit := bytes.Index(b[i:], []byte(persistence.Magic))
			if hit < 0 {
				pos += int64(max(1, len(b)-len(persistence.Magic)+1))
				break
			}
			i += hit
			if i+persistence.HeaderSize > len(b) {
				pos += int64(i)
				if i == 0 {
					return 0, false // too near to the end
				}
				last = false
				break
			}
			h, err := persistence.DecodeHeader(b[i : i+persistence.HeaderSize])
			if err != nil && !errors.Is(err, types.ErrNewerFormat) || store != nil && h.Store != *store {
				continue
			}
			if start, ok := entryAround(w, pos+int64(i), off, h.LSN); ok {
				return start, true
			}
			b = w.at(pos, readAhead)
		}
		if last {
			return 0, false
		}
	}
}

// entryAround returns the offset of the intact entry whose value begins at
// value and whose key is as given. It does not begin before low.
func entryAround(w *window, value, low int64, key uint64) (int64, bool) {
	for length := int64(entryHeaderMin); length <= entryHeaderMax; length++ {
		start := value - keySize - length
		if start < low {
			break
		}
		h, ok := parseEntryHeader(w.at(start, entryHeaderMax))
		if !ok || int64(h.length) != length {
			continue
		}
		if e, _, ok := entryAt(w, start); ok && e.key == key {
			return start, true
		}
	}
	return 0, false
}

// headRoom copies heads into larger pieces of memory.
type headRoom struct{ free []byte }

func (r *headRoom) keep(head []byte) []byte {
	if len(head) == 0 {
		return nil
	}
	if cap(r.free)-len(r.free) < len(head) {
		r.free = make([]byte, 0, 256*persistence.HeaderSize)
	}
	n := len(r.free)
	r.free = append(r.free, head...)
	return r.free[n:len(r.free):len(r.free)]
}
