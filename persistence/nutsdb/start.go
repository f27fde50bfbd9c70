//go:build !js

package nutsdb

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"

	"github.com/mqttdb/mqttdb/persistence/journal"
)

// Start implements journal.Source. It leaves the data files as they are, but
// for their length, and lets NutsDB append to a new one.
func (s *source) Start(ctx context.Context, record []byte) (journal.Medium, error) {
	m, err := s.start(ctx, record)
	if err != nil {
		return nil, explain("open", s.dir, err)
	}
	return m, nil
}

func (s *source) start(ctx context.Context, record []byte) (*medium, error) {
	if s.lock == nil {
		return nil, errors.New("start without inspect")
	}
	s.lock.sign()
	active := s.next()
	s.space = newSpace(s.dir, s.segmentSize, s.minFree)
	s.keepDamage()
	s.trim()
	if err := s.space.somehow(s.removeLeftovers); err != nil {
		return nil, err
	}
	for i := range s.segments {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if err := s.space.somehow(func() error { return s.prepare(&s.segments[i]) }); err != nil {
			return nil, err
		}
	}
	if err := s.space.somehow(s.prepareBucket); err != nil {
		return nil, err
	}
	if err := s.space.begin(segmentFile(s.dir, active, dataSuffix)); err != nil {
		return nil, err
	}
	w, err := openWritten(s.dir, active)
	if err != nil {
		return nil, err
	}
	m, err := s.open(w, record)
	if err != nil {
		return nil, errors.Join(err, w.close())
	}
	return m, nil
}

// open sets the store record and opens the database.
func (s *source) open(active written, record []byte) (*medium, error) {
	store := storeFile{s.segmentSize, record}
	if !bytes.Equal(store.encode(), s.store.encode()) {
		err := s.space.somehow(func() error { return writeDurably(filepath.Join(s.dir, storeName), store.encode()) })
		if err != nil {
			return nil, err
		}
	}
	if err := s.disk.syncNames(s.dir); err != nil {
		return nil, err
	}
	// NutsDB v1.1.0 reads a segment that has no hint, and does not close the
	// descriptor with which it found nothing.
	hint := segmentFile(s.dir, active.id, hintSuffix)
	if err := ensure(hint, nil); err != nil {
		return nil, err
	}
	db, err := openDatabase(s.dir, s.segmentSize, s.buffers)
	if err != nil {
		return nil, err
	}
	db.writes = s.deletes
	if err := removeIfThere(hint); err != nil {
		return nil, errors.Join(err, db.close())
	}
	if got := db.active(); got != active.id {
		return nil, errors.Join(errors.New("the database appends to another segment than it was given"), db.close())
	}
	return newMedium(s, db, active, store.encode()), nil
}

// next is the number of the segment to be appended to, above each that was.
func (s *source) next() uint64 {
	next := s.lastID() + 1
	if n := len(s.names.data); n > 0 {
		next = max(next, s.names.data[n-1]+1)
	}
	if n := len(s.names.seals); n > 0 {
		next = max(next, s.names.seals[n-1]+1)
	}
	return next
}

// removeLeftovers removes what a crash left behind, and what NutsDB must not
// see: hints of segments that it is to read or to write itself.
func (s *source) removeLeftovers() error {
	var remove []string
	for _, id := range s.names.data {
		if s.has(id) {
			continue
		}
		if id > s.lastID() { // it is empty, and is to be known as such
			if err := writeDurably(segmentFile(s.dir, id, sealSuffix), seal{id: id, follows: id - 1}.encode()); err != nil {
				return err
			}
		}
		remove = append(remove, segmentFile(s.dir, id, dataSuffix))
	}
	for _, id := range s.names.hints {
		if !s.has(id) {
			remove = append(remove, segmentFile(s.dir, id, hintSuffix))
		}
	}
	for _, id := range s.names.seals {
		if !s.has(id) && id < s.lastID() && (id < s.segments[0].id || !slices.Contains(s.unused, id)) {
			remove = append(remove, segmentFile(s.dir, id, sealSuffix))
		}
	}
	for _, name := range s.names.temp {
		remove = append(remove, filepath.Join(s.dir, name))
	}
	// We hold the directory. A lock of NutsDB that is still held is one that it
	// did not give back when it failed.
	remove = append(remove, filepath.Join(s.dir, flockName))
	for _, path := range remove {
		if err := removeIfThere(path); err != nil {
			return err
		}
	}
	return nil
}

// trim gives back the room behind what the last run has written: it was set aside,
// and was not used.
func (s *source) trim() {
	for i := range s.segments {
		seg := &s.segments[i]
		if seg.known || seg.length <= seg.used {
			continue
		}
		if f, err := os.OpenFile(segmentFile(s.dir, seg.id, dataSuffix), os.O_RDWR, 0); err == nil {
			_ = punch(f, seg.used, seg.length-seg.used) // where that is not possible it stays
			f.Close()
		}
	}
}

// has says whether the segment holds something.
func (s *source) has(id uint64) bool {
	_, ok := slices.BinarySearchFunc(s.segments, id, func(seg segment, id uint64) int {
		switch {
		case seg.id < id:
			return -1
		case seg.id > id:
			return 1
		}
		return 0
	})
	return ok
}

// prepare makes NutsDB find exactly the intact entries of a segment.
func (s *source) prepare(seg *segment) error {
	if err := ensure(segmentFile(s.dir, seg.id, hintSuffix), hintFile(seg.id, seg.entries)); err != nil {
		return err
	}
	if seg.length >= s.segmentSize {
		return nil
	}
	// NutsDB reads up to there, wherever the entries end.
	if err := os.Truncate(segmentFile(s.dir, seg.id, dataSuffix), s.segmentSize); err != nil {
		return err
	}
	seg.length = s.segmentSize
	return nil
}

// prepareBucket makes bucket.Meta what it must be. NutsDB takes an empty or
// torn one for an empty database.
func (s *source) prepareBucket() error {
	path := filepath.Join(s.dir, bucketName)
	if had, err := os.ReadFile(path); err == nil && bytes.Equal(had, bucketFile()) {
		return nil
	}
	return writeDurably(path, bucketFile())
}
