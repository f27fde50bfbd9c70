//go:build js

package indexeddb

import (
	"context"
	"encoding/binary"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall/js"

	"github.com/mqttdb/mqttdb/persistence"
	"github.com/mqttdb/mqttdb/persistence/journal"
	"github.com/mqttdb/mqttdb/types"
)

// source is a journal.Source: a queue that is closed, or being opened.
type source struct {
	store    *Store
	name     string
	database string // its name
	size     int64  // of a segment
	lazy     bool
	quota    *quota

	release  func() // the lock
	log      *database
	taken    atomic.Bool // the databases are to be closed: another tab has the queue, or its data were removed
	first    uint64      // see the package
	next     uint64
	segments map[uint64]*segment
	places   map[uint64]uint64 // the segment of each key
}

// segment is a piece of the log.
type segment struct {
	*database // nil: not open
	bytes     int64
}

const (
	logTable, entryTable     = "log", "entries"
	recordRow, segmentsRow   = "record", "segments"
	durable, handedToTheDisk = "strict", "relaxed"
)

func (s *source) segmentName(id uint64) string {
	return s.database + "/" + strconv.FormatUint(id, 10)
}

// Inspect implements journal.Source.
func (s *source) Inspect(ctx context.Context) (journal.Contents, error) {
	c, err := s.inspect(ctx)
	if err != nil {
		_ = s.Release()
		return journal.Contents{}, explain("open", s.name, err)
	}
	return c, nil
}

func (s *source) inspect(ctx context.Context) (c journal.Contents, err error) {
	s.segments, s.places = make(map[uint64]*segment), make(map[uint64]uint64)
	if s.release, err = takeLock(s.database); err != nil {
		return c, err
	}
	if err := s.fence(ctx); err != nil {
		return c, err
	}
	if c.Record, err = s.row(recordRow); err != nil {
		return c, err
	}
	span, err := s.row(segmentsRow)
	if err != nil {
		return c, err
	}
	if len(span) == 16 {
		s.first, s.next = binary.BigEndian.Uint64(span), binary.BigEndian.Uint64(span[8:])
	}
	there, err := s.list()
	if err != nil {
		return c, err
	}
	if len(span) != 16 && len(there) > 0 {
		s.first = there[0]
	}
	id := s.first
	for _, found := range there {
		if found < s.first {
			continue // it was to be deleted
		}
		for ; id < found; id++ {
			c.Damage = append(c.Damage, journal.Damage{Segment: id, Bytes: s.size})
		}
		id = found + 1
		if err := s.look(&c, found); err != nil {
			return c, err
		}
	}
	for ; id < s.next; id++ {
		c.Damage = append(c.Damage, journal.Damage{Segment: id, Bytes: s.size})
	}
	s.next = id
	return c, nil
}

// fence opens the log, and sees to it that nobody else goes on with it.
func (s *source) fence(ctx context.Context) error {
	for range 10 {
		if err := ctx.Err(); err != nil {
			return err
		}
		now, _, err := openDatabase(s.database, logTable, 0, nil)
		if err != nil {
			return err
		}
		version := now.v.Get("version").Int()
		now.close()
		log, raised, err := openDatabase(s.database, logTable, version+1, s.take)
		if thrown, ok := err.(*exception); ok && thrown.name == "VersionError" {
			continue // somebody else was quicker
		} else if err != nil {
			return err
		}
		if raised {
			s.log = log
			return nil
		}
		log.close()
	}
	return types.ErrInUse
}

// take is called by an event handler when the databases are no longer ours.
func (s *source) take() {
	if s.taken.CompareAndSwap(false, true) {
		go s.closeAll()
	}
}

func (s *source) row(name string) ([]byte, error) {
	v, err := s.log.read(func(table js.Value) js.Value { return table.Call("get", name) })
	if err != nil || v.IsUndefined() {
		return nil, err
	}
	return toGo(v)
}

// list returns the segments that have a database, in order.
func (s *source) list() ([]uint64, error) {
	names, err := databases()
	if err != nil {
		return nil, fmt.Errorf("list the segments: %w", err)
	}
	var there []uint64
	for _, name := range names {
		if number, ours := strings.CutPrefix(name, s.database+"/"); ours {
			if id, err := strconv.ParseUint(number, 10, 62); err == nil && s.segmentName(id) == name {
				there = append(there, id)
			}
		}
	}
	slices.Sort(there)
	return there, nil
}

// look reads the keys of a segment.
func (s *source) look(c *journal.Contents, id uint64) error {
	db, _, err := openDatabase(s.segmentName(id), entryTable, 1, s.take)
	if err != nil {
		return fmt.Errorf("segment %d: %w", id, err)
	}
	seg := &segment{database: db}
	s.segments[id] = seg
	keys, err := db.read(func(table js.Value) js.Value { return table.Call("getAllKeys") })
	if err != nil {
		return fmt.Errorf("segment %d: %w", id, err)
	}
	for i := range keys.Length() {
		key, err := toGo(keys.Index(i))
		if err != nil || len(key) < keyHead {
			c.Damage = append(c.Damage, journal.Damage{Segment: id, Offset: seg.bytes, Bytes: 1})
			continue
		}
		lsn, size := binary.BigEndian.Uint64(key), int(binary.BigEndian.Uint32(key[8:]))
		s.places[lsn] = id
		c.Entries = append(c.Entries, journal.Entry{Key: lsn, Segment: id, Size: size, Head: key[keyHead:]})
		seg.bytes += int64(size)
	}
	c.Segments = append(c.Segments, journal.Segment{ID: id, Bytes: seg.bytes})
	return nil
}

// keyHead is where the head begins in a key.
const keyHead = 12

// keyOf is the key of an entry, see the package.
func keyOf(lsn uint64, value []byte) []byte {
	key := binary.BigEndian.AppendUint64(make([]byte, 0, keyHead+persistence.HeaderSize), lsn)
	key = binary.BigEndian.AppendUint32(key, uint32(len(value)))
	return append(key, value[:min(len(value), persistence.HeaderSize)]...)
}

// Start implements journal.Source.
func (s *source) Start(_ context.Context, record []byte) (journal.Medium, error) {
	m := &medium{source: s}
	if err := s.start(m, record); err != nil {
		return nil, explain("open", s.name, err)
	}
	return m, nil
}

func (s *source) start(m *medium, record []byte) error {
	there, err := s.list()
	if err != nil {
		return err
	}
	for _, id := range there {
		if id < s.first { // the drop of it was cut short
			if err := deleteDatabase(s.segmentName(id)); err != nil {
				return err
			}
		}
	}
	if err := s.put(s.log, durable, recordRow, record); err != nil {
		return err
	}
	return m.rotate()
}

// put stores a row, from the reserve if there is no other room.
func (s *source) put(d *database, durability string, key any, value []byte) error {
	return s.store.reserve.somehow(func() error {
		return d.write(durability, func(table js.Value) { table.Call("put", toJS(value), key) })
	})
}

// Release implements journal.Source.
func (s *source) Release() error {
	s.closeAll()
	if s.release != nil {
		s.release()
		s.release = nil
	}
	return nil
}

// closeAll closes the databases; what is under way there comes to its end.
func (s *source) closeAll() {
	for _, seg := range s.segments {
		if seg.database != nil {
			seg.close()
			seg.database = nil
		}
	}
	if s.log != nil {
		s.log.close()
		s.log = nil
	}
}
