package memory

import (
	"bytes"
	"context"
	"fmt"
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
	damage   []journal.Damage
	open     *medium
}

type segment struct {
	id      uint64
	bytes   int
	entries []stored
}

// stored is an entry, or the note that one was forgotten (value is nil).
type stored struct {
	key    uint64
	value  []byte
	synced bool
}

// Inspect implements journal.Source.
func (d *disk) Inspect(context.Context) (journal.Contents, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.open != nil {
		return journal.Contents{}, types.ErrInUse
	}
	d.open = &medium{disk: d, values: make(map[uint64][]byte)}
	c := journal.Contents{Record: d.record, Damage: d.damage}
	forgotten := make(map[uint64]bool)
	for _, s := range d.segments {
		for _, e := range s.entries {
			if e.value == nil {
				forgotten[e.key] = true
			}
		}
	}
	for _, s := range d.segments {
		c.Segments = append(c.Segments, journal.Segment{ID: s.id, Bytes: int64(s.bytes)})
		for _, e := range s.entries {
			if e.value != nil && !forgotten[e.key] {
				d.open.values[e.key] = e.value
				head := e.value[:min(len(e.value), persistence.HeaderSize)]
				c.Entries = append(c.Entries, journal.Entry{Key: e.key, Segment: s.id, Size: len(e.value), Head: head})
			}
		}
	}
	return c, nil
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
	id := uint64(0)
	if n := len(d.segments); n > 0 {
		id = d.segments[n-1].id + 1
	}
	d.segments = append(d.segments, &segment{id: id})
}

func (d *disk) cutOff() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.open = nil
}

// crash returns a copy; with r, of what a power cut leaves.
func (d *disk) crash(r *rand.Rand) *disk {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.open = nil
	after := &disk{size: d.size, record: d.record, damage: slices.Clone(d.damage)}
	for _, s := range d.segments {
		kept := &segment{id: s.id}
		for _, e := range s.entries {
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
			e.synced = true
			kept.entries = append(kept.entries, e)
			kept.bytes += len(e.value)
		}
		after.segments = append(after.segments, kept)
	}
	return after
}

// medium is a journal.Medium: an open disk.
type medium struct {
	disk   *disk
	values map[uint64][]byte
}

// use locks the disk if m is what has it open.
func (m *medium) use() error {
	m.disk.mu.Lock()
	if m.disk.open != m {
		m.disk.mu.Unlock()
		return errCutOff
	}
	return nil
}

// Append implements journal.Medium.
func (m *medium) Append(key uint64, value []byte) (uint64, error) {
	if err := m.use(); err != nil {
		return 0, err
	}
	defer m.disk.mu.Unlock()
	if _, ok := m.values[key]; ok {
		return 0, fmt.Errorf("key %d was used before", key)
	}
	value = bytes.Clone(value)
	s := m.put(stored{key: key, value: value})
	m.values[key] = value
	return s.id, nil
}

func (m *medium) put(e stored) *segment {
	s := m.disk.segments[len(m.disk.segments)-1]
	if s.bytes > 0 && s.bytes+len(e.value) > m.disk.size {
		m.disk.rotate()
		s = m.disk.segments[len(m.disk.segments)-1]
	}
	s.entries = append(s.entries, e)
	s.bytes += len(e.value)
	return s
}

// Sync implements journal.Medium.
func (m *medium) Sync() error {
	if err := m.use(); err != nil {
		return err
	}
	defer m.disk.mu.Unlock()
	for _, s := range slices.Backward(m.disk.segments) {
		for i := len(s.entries) - 1; i >= 0; i-- {
			if s.entries[i].synced {
				return nil
			}
			s.entries[i].synced = true
		}
	}
	return nil
}

// Load implements journal.Medium.
func (m *medium) Load(key uint64) ([]byte, error) {
	if err := m.use(); err != nil {
		return nil, err
	}
	defer m.disk.mu.Unlock()
	value, ok := m.values[key]
	if !ok {
		return nil, fmt.Errorf("%w: no entry %d", types.ErrCorrupt, key)
	}
	return bytes.Clone(value), nil
}

// Forget implements journal.Medium.
func (m *medium) Forget(keys []uint64) error {
	if err := m.use(); err != nil {
		return err
	}
	defer m.disk.mu.Unlock()
	for _, key := range keys {
		delete(m.values, key)
		m.put(stored{key: key})
	}
	return nil
}

// Drop implements journal.Medium.
func (m *medium) Drop(below uint64) (int64, error) {
	if err := m.use(); err != nil {
		return 0, err
	}
	defer m.disk.mu.Unlock()
	var reclaimed int64
	for len(m.disk.segments) > 1 && m.disk.segments[0].id < below {
		reclaimed += int64(m.disk.segments[0].bytes)
		m.disk.segments = m.disk.segments[1:]
	}
	return reclaimed, nil
}

// Close implements journal.Medium.
func (m *medium) Close() error {
	m.disk.mu.Lock()
	defer m.disk.mu.Unlock()
	if m.disk.open == m {
		m.disk.open = nil
	}
	return nil
}
