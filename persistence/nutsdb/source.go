//go:build !js

package nutsdb

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"github.com/mqttdb/mqttdb/persistence"
	"github.com/mqttdb/mqttdb/persistence/journal"
	"github.com/mqttdb/mqttdb/types"
)

// Source returns the directory dir as a place for one queue; nothing is read or
// made before its Inspect.
func Source(dir string, o Options) (journal.Source, error) {
	if err := o.setDefaultsAndValidate(); err != nil {
		return nil, err
	}
	return newSource(dir, o), nil
}

func newSource(dir string, o Options) *source {
	return &source{dir: filepath.Clean(dir), o: o, segmentSize: o.SegmentSize, fullAt: SegmentSize, disk: realDisk, bad: new(badSectors), buffers: new(buffers),
		closed: func(bool) {}, minFree: func() int64 { return 0 }}
}

// source is a queue's directory, between Inspect and Start.
type source struct {
	dir     string
	o       Options
	disk    disk
	deletes bool // see database
	bad     *badSectors
	buffers *buffers
	closed  func(failed bool) // told when the medium was closed
	minFree func() int64      // see space
	space   space             // of the segment that Start made

	lock        *lock // nil if not held
	segmentSize int64
	fullAt      int64     // how much of a segment is used; less than its size in tests only
	store       storeFile // as it was read
	names       listing
	segments    []segment // that hold something, in order
	unused      []uint64  // numbers of segments that never did, in order
	gaps        []gap     // that were not known yet
	window      window
	distrust    bool // manifests are not believed: everything is read
}

var _ journal.Source = (*source)(nil)

// Inspect implements journal.Source.
func (s *source) Inspect(ctx context.Context) (journal.Contents, error) {
	c, err := s.inspect(ctx)
	if err != nil {
		err = errors.Join(explain("open", s.dir, err), s.Release())
	}
	return c, err
}

func (s *source) inspect(ctx context.Context) (c journal.Contents, err error) {
	if err := s.enter(ctx); err != nil {
		return c, err
	}
	if s.names, err = list(s.dir); err != nil { // again, now that it is ours alone
		return c, err
	}
	if err := s.names.check(s.dir); err != nil {
		return c, err
	}
	if err := s.readStoreFile(&c); err != nil {
		return c, err
	}
	if err := s.readSegments(ctx, c.Record); err != nil {
		return c, err
	}
	s.report(&c)
	return c, nil
}

// enter takes the lock, if the directory is ours or new.
func (s *source) enter(ctx context.Context) error {
	names, err := list(s.dir)
	if err != nil {
		return err
	}
	if err := names.check(s.dir); err != nil {
		return err
	}
	if !names.store && !names.lock && len(names.data) > 0 {
		// NutsDB files that we have never locked: another program's, perhaps.
		if _, ok := s.firstID(names.data); !ok {
			return foreign(s.dir, []string{filepath.Base(segmentFile(s.dir, names.data[0], dataSuffix)) + ", which is not of mqttdb"})
		}
	}
	if err := makeDir(s.dir); err != nil {
		return err
	}
	s.lock, err = takeLock(ctx, s.dir)
	return err
}

// readStoreFile reads STORE. Without one the size of a segment is that of the
// largest.
func (s *source) readStoreFile(c *journal.Contents) error {
	b, err := os.ReadFile(filepath.Join(s.dir, storeName))
	if err == nil {
		var f storeFile
		if f, err = decodeStoreFile(b); err == nil {
			s.store, s.segmentSize, c.Record = f, f.segmentSize, f.record
			return nil
		}
	}
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case errors.Is(err, types.ErrCorrupt), errors.Is(err, syscall.EIO):
		c.Damage = append(c.Damage, journal.Damage{Bytes: int64(len(b))})
	default:
		return err
	}
	var largest int64
	for _, id := range s.names.data {
		if info, err := os.Stat(segmentFile(s.dir, id, dataSuffix)); err == nil && validSegmentSize(info.Size()) {
			largest = max(largest, info.Size())
		}
	}
	if largest > 0 {
		s.segmentSize = largest
	}
	return nil
}

// firstID finds the store id that the segments name, in a place that cannot be
// the payload of a message: in the first entry of one of them.
func (s *source) firstID(ids []uint64) (persistence.StoreID, bool) {
	for _, id := range ids {
		f, err := os.Open(segmentFile(s.dir, id, dataSuffix))
		if err != nil {
			continue
		}
		s.window.reset(f, SegmentSize)
		e, _, ok := entryAt(&s.window, 0)
		f.Close()
		if !ok {
			continue
		}
		if h, err := persistence.DecodeHeader(e.head); err == nil || errors.Is(err, types.ErrNewerFormat) {
			return h.Store, true
		}
	}
	return persistence.StoreID{}, false
}

// Release implements journal.Source.
func (s *source) Release() error {
	if s.lock == nil {
		return nil
	}
	l := s.lock
	s.lock = nil
	return explain("close", s.dir, l.release())
}
