//go:build js

package indexeddb

import (
	"encoding/binary"
	"fmt"
	"math"
	"sync"
	"syscall/js"

	"github.com/mqttdb/mqttdb/persistence"
	"github.com/mqttdb/mqttdb/persistence/journal"
	"github.com/mqttdb/mqttdb/types"
)

// medium is a journal.Medium: an open queue.
//
// Each entry is a transaction of its own, and Append returns when it is complete: what was
// appended survives the end of the Worker. Strict transactions are on stable storage then.
// Those of a lazy queue are not, and Sync makes them so by a strict one: the engines of
// Chromium, Firefox and Safari write the transactions of a database one behind the other.
type medium struct {
	*source
	active uint64 // the segment that is appended to

	mu      sync.Mutex // of what Sync looks at
	unsaved *segment   // has entries of a lazy queue that were not synced
}

// rotate begins a new segment.
func (m *medium) rotate() error {
	if err := m.Sync(); err != nil {
		return err
	}
	id := m.next
	// In this order a segment that does not exist is never looked for.
	var db *database
	var made bool
	err := m.store.reserve.somehow(func() (err error) {
		db, made, err = openDatabase(m.segmentName(id), entryTable, 1, m.take)
		return err
	})
	if err != nil {
		return fmt.Errorf("segment %d: %w", id, err)
	}
	if !made {
		db.close()
		return fmt.Errorf("segment %d: %w", id, types.ErrInUse)
	}
	m.segments[id] = &segment{database: db}
	if err := m.note(m.first, id+1); err != nil {
		return err
	}
	m.active = id
	return nil
}

// note stores which segments may exist.
func (m *medium) note(first, next uint64) error {
	span := binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(nil, first), next)
	if err := m.put(m.use(), durable, segmentsRow, span); err != nil {
		return err
	}
	m.first, m.next = first, next
	return nil
}

// use is the log; one that was taken away tells so.
func (m *medium) use() *database {
	if m.log != nil {
		return m.log
	}
	d := &database{}
	d.lost.Store(true)
	return d
}

// Append implements journal.Medium.
func (m *medium) Append(key uint64, value []byte) (uint64, error) {
	id, err := m.append(key, value)
	return id, explain("write to", m.name, err)
}

func (m *medium) append(key uint64, value []byte) (uint64, error) {
	if _, ok := m.places[key]; ok {
		return 0, fmt.Errorf("key %d was used before", key)
	}
	if s := m.segments[m.active]; s.bytes > 0 && s.bytes+int64(len(value)) > m.size {
		if err := m.rotate(); err != nil {
			return 0, err
		}
	}
	s, durability := m.segments[m.active], durable
	if s.database == nil {
		return 0, errLost
	}
	if m.lazy {
		durability = handedToTheDisk
	}
	row := keyOf(key, value)
	if err := m.put(s.database, durability, toJS(row), value); err != nil {
		return 0, err
	}
	if m.lazy {
		m.mu.Lock()
		m.unsaved = s
		m.mu.Unlock()
	}
	s.bytes += int64(len(value))
	m.places[key] = m.active
	m.quota.wrote(len(value) + len(row))
	return m.active, nil
}

// Sync implements journal.Medium.
func (m *medium) Sync() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.unsaved == nil {
		return nil
	}
	s := m.unsaved
	if s.database == nil {
		return explain("sync", m.name, errLost)
	}
	// A row that says nothing: it is deleted in the transaction that puts it.
	if err := s.write(durable, func(table js.Value) {
		table.Call("put", 0, 0)
		table.Call("delete", 0)
	}); err != nil {
		return explain("sync", m.name, err)
	}
	m.unsaved = nil
	return nil
}

// Load implements journal.Medium.
func (m *medium) Load(key uint64) ([]byte, error) {
	id, ok := m.places[key]
	if !ok {
		return nil, fmt.Errorf("%w: entry %d", types.ErrCorrupt, key)
	}
	s := m.segments[id]
	if s == nil || s.database == nil {
		return nil, explain("read", m.name, errLost)
	}
	from, to := binary.BigEndian.AppendUint64(nil, key), binary.BigEndian.AppendUint64(nil, key+1)
	v, err := s.read(func(table js.Value) js.Value {
		return table.Call("get", js.Global().Get("IDBKeyRange").Call("bound", toJS(from), toJS(to), false, true))
	})
	if err != nil {
		return nil, explain("read", m.name, err)
	}
	value, err := toGo(v)
	if err != nil {
		return nil, fmt.Errorf("%w: entry %d is %w", types.ErrCorrupt, key, err)
	}
	return value, nil
}

// Forget implements journal.Medium.
func (m *medium) Forget(keys []uint64) error {
	for _, key := range keys {
		if _, ok := m.places[key]; !ok {
			return fmt.Errorf("key %d is not there", key)
		}
		delete(m.places, key)
	}
	return nil
}

// Drop implements journal.Medium.
func (m *medium) Drop(below uint64) (int64, error) {
	reclaimed, err := m.drop(min(below, m.active))
	return reclaimed, explain("drop segments of", m.name, err)
}

func (m *medium) drop(below uint64) (reclaimed int64, err error) {
	if below <= m.first {
		return 0, nil
	}
	from := m.first
	if err := m.note(below, m.next); err != nil { // first, so that none is missed after a crash
		return 0, err
	}
	for key, id := range m.places {
		if id < below {
			delete(m.places, key)
		}
	}
	for id := from; id < below; id++ {
		s := m.segments[id]
		if s == nil {
			continue // it was lost
		}
		if s.database != nil {
			s.close()
		}
		delete(m.segments, id)
		if err := deleteDatabase(m.segmentName(id)); err != nil {
			return reclaimed, err
		}
		reclaimed += s.bytes
	}
	m.quota.freed()
	return reclaimed, nil
}

// Reserve implements journal.Reserver.
func (m *medium) Reserve(bytes int) error {
	if err := m.quota.room(int64(bytes + keyHead + persistence.HeaderSize)); err != nil {
		return explain("write to", m.name, err)
	}
	return m.store.reserve.keep()
}

// Spare implements journal.Reserver.
func (m *medium) Spare(bytes int) int64 {
	if m.store.reserve.keep() != nil {
		return m.store.reserve.spare()
	}
	if m.quota.room(int64(bytes)) == nil {
		return math.MaxInt64
	}
	return m.quota.reserve() / 2
}

// Turn implements journal.Reserver.
func (m *medium) Turn(bytes int) (bool, error) {
	if m.segments[m.active].bytes == 0 {
		return true, nil
	}
	if err := m.rotate(); err != nil {
		return false, explain("compact", m.name, err)
	}
	return true, nil
}

// Close implements journal.Medium.
func (m *medium) Close() error {
	err := m.Sync()
	if e := m.Release(); err == nil {
		err = e
	}
	m.store.forget(m.source)
	return err
}

var _ journal.Reserver = (*medium)(nil)
