package memory

import (
	"bytes"
	"context"
	"math/rand/v2"
	"slices"
	"sync"

	"github.com/mqttdb/mqttdb/persistence"
	"github.com/mqttdb/mqttdb/persistence/journal"
	"github.com/mqttdb/mqttdb/types"
)

// disk is a journal.Source: what lies in memory whether it is open or not.
type disk struct {
	mu       sync.Mutex
	size     int // of a segment, in bytes
	record   []byte
	segments []*segment
	next     uint64 // number of the next segment
	damage   []journal.Damage
	open     *medium
}

type segment struct {
	id      uint64
	bytes   int
	entries []*stored
}

// stored is an entry. Its value is never modified, only replaced.
type stored struct {
	key       uint64
	value     []byte
	synced    bool
	forgotten bool
	flipped   damaged
}

// head is the beginning of the value.
func (e stored) head() []byte { return e.value[:min(len(e.value), persistence.HeaderSize)] }

// Inspect implements journal.Source.
func (d *disk) Inspect(context.Context) (journal.Contents, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.open != nil {
		return journal.Contents{}, types.ErrInUse
	}
	d.open = &medium{disk: d, values: make(map[uint64]*stored)}
	c := journal.Contents{Record: d.record, Damage: slices.Clone(d.damage)}
	next, store := max(d.next, 1)-1, d.store()
	if len(d.segments) > 0 {
		next = d.segments[0].id // below it all was dropped, for all that is known
	}
	for _, s := range d.segments {
		for ; next < s.id; next++ {
			c.Damage = append(c.Damage, journal.Damage{Segment: next, Bytes: int64(d.size)})
		}
		next++
		c.Segments = append(c.Segments, journal.Segment{ID: s.id, Bytes: int64(s.bytes)})
		offset := int64(0)
		for _, e := range s.entries {
			switch {
			case e.flipped == seen:
				c.Damage = append(c.Damage, journal.Damage{Segment: s.id, Offset: offset, Bytes: int64(len(e.value))})
			case !e.forgotten:
				if had := d.open.values[e.key]; had != nil && had.of(store) && !e.of(store) {
					break // it must not hide the other
				}
				d.open.values[e.key] = e
				c.Entries = append(c.Entries, journal.Entry{Key: e.key, Segment: s.id, Size: len(e.value), Head: e.head()})
			}
			offset += int64(len(e.value))
		}
	}
	for ; next < d.next; next++ {
		c.Damage = append(c.Damage, journal.Damage{Segment: next, Bytes: int64(d.size)})
	}
	return c, nil
}

// store is the store id that the record or, without one, the first entry names.
func (d *disk) store() (id persistence.StoreID) {
	if id, err := persistence.DecodeStoreRecord(d.record); err == nil {
		return id
	}
	for _, s := range d.segments {
		for _, e := range s.entries {
			if h, err := persistence.DecodeHeader(e.head()); err == nil {
				return h.Store
			}
		}
	}
	return id
}

// of says whether an entry is what its place says: one of that store, under its
// own LSN.
func (e *stored) of(store persistence.StoreID) bool {
	h, err := persistence.DecodeHeader(e.head())
	return err == nil && h.Store == store && h.LSN == e.key
}

// Start implements journal.Source.
func (d *disk) Start(_ context.Context, record []byte) (journal.Medium, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.record = bytes.Clone(record)
	d.rotate()
	return d.open, nil
}

// Release implements journal.Source.
func (d *disk) Release() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.open = nil
	return nil
}

func (d *disk) rotate() {
	d.segments = append(d.segments, &segment{id: d.next})
	d.next++
}

func (d *disk) cutOff() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.open = nil
}

// crash returns a copy, in which what was forgotten is back; with r, of what a power
// cut leaves: of what was not synced a part is lost, and a part is torn; some of
// what was forgotten is back.
func (d *disk) crash(r *rand.Rand) *disk {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.open = nil
	after := &disk{size: d.size, record: d.record, next: d.next, damage: slices.Clone(d.damage)}
	for _, s := range d.segments {
		kept := &segment{id: s.id}
		for _, written := range s.entries {
			e := *written
			if r != nil && !e.synced {
				switch r.IntN(3) {
				case 0: // never reached the disk
					continue
				case 1: // part of it did
					after.damage = append(after.damage, journal.Damage{Segment: s.id, Offset: int64(kept.bytes), Bytes: int64(len(e.value)), Last: true})
					kept.bytes += len(e.value)
					continue
				}
			}
			if r != nil {
				e.synced = true
			}
			e.forgotten = e.forgotten && r != nil && r.IntN(2) == 0
			kept.entries = append(kept.entries, &e)
			kept.bytes += len(e.value)
		}
		after.segments = append(after.segments, kept)
	}
	return after
}
