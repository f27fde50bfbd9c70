package memory

import (
	"bytes"
	"fmt"
	"slices"

	"github.com/mqttdb/mqttdb/persistence/journal"
	"github.com/mqttdb/mqttdb/types"
)

// medium is a journal.Medium: an open disk.
type medium struct {
	disk   *disk
	values map[uint64]*stored
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
	s := m.disk.segments[len(m.disk.segments)-1]
	if s.bytes > 0 && s.bytes+len(value) > m.disk.size {
		m.disk.rotate()
		s = m.disk.segments[len(m.disk.segments)-1]
	}
	e := &stored{key: key, value: bytes.Clone(value)}
	s.entries = append(s.entries, e)
	s.bytes += len(value)
	m.values[key] = e
	return s.id, nil
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
	e, ok := m.values[key]
	if !ok || e.flipped == hidden {
		return nil, fmt.Errorf("%w: entry %d", types.ErrCorrupt, key)
	}
	return e.value, nil
}

// Forget implements journal.Medium.
func (m *medium) Forget(keys []uint64) error {
	if err := m.use(); err != nil {
		return err
	}
	defer m.disk.mu.Unlock()
	for _, key := range keys {
		e, ok := m.values[key]
		if !ok {
			return fmt.Errorf("key %d is not there", key)
		}
		e.forgotten = true
		delete(m.values, key)
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
	d := m.disk
	for len(d.segments) > 1 && d.segments[0].id < below {
		for _, e := range d.segments[0].entries {
			if m.values[e.key] == e {
				delete(m.values, e.key)
			}
		}
		reclaimed += int64(d.segments[0].bytes)
		d.segments[0] = nil
		d.segments = d.segments[1:]
	}
	d.damage = slices.DeleteFunc(d.damage, func(h journal.Damage) bool { return h.Segment < below })
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
