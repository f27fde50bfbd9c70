//go:build !js

package nutsdb

import (
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/mqttdb/mqttdb/types"
)

const (
	// allocateStep is how much of a segment is set aside at once, in bytes, before
	// it is written.
	allocateStep = 256 << 10
	// reserveSize is how large the reserve is, in bytes, at least. It is a quarter of what
	// the log has beyond two segments, and a segment at most, so that compaction finds
	// room to move what lives in one.
	reserveSize = 2 << 20
	// lookEvery is how often free space is asked for, at most, while we take none.
	lookEvery = 100 * time.Millisecond
)

// space is what a queue has set aside on its file system. Messages are written
// only into space that was set aside before, so that a full disk is known before
// anything was begun, and while the reserve is whole: a file that becomes the
// next segment when there is no room for anything else. What is settled, and what
// compaction writes to make room, goes there.
type space struct {
	dir     string
	segment int64        // size of one, in bytes
	minFree func() int64 // how much of the disk is to stay free, in bytes

	active  int64 // of the active segment there is room up to here
	ahead   ahead // of the active segment
	next    int64 // likewise of the segment behind it; 0: it was not made yet
	turn    bool  // the next put begins that one
	reserve int64 // of the reserve; 0: it is used up
	log     int64 // how large the log is

	looked time.Time // when free space was asked for
	least  error     // the answer
}

// newSpace is what the run before has left.
func newSpace(dir string, segment int64, minFree func() int64) space {
	s := space{dir: dir, segment: segment, minFree: minFree}
	if info, err := os.Stat(s.reservePath()); err == nil {
		s.reserve = info.Size()
	}
	return s
}

// somehow does what has to be done, with room from the reserve if there is no other.
func (s *space) somehow(do func() error) error {
	for {
		err := do()
		if !isFull(err) || s.reserve == 0 {
			return err
		}
		left := max(0, s.reserve-s.step())
		if err := os.Truncate(s.reservePath(), left); err != nil {
			return err
		}
		s.reserve = left
	}
}

func (s *space) step() int64 { return min(allocateStep, max(s.segment/8, 1)) }
func (s *space) wholeReserve() int64 {
	step := max(s.segment/8, 1) // so that it does not grow with each message
	return min(max(min(reserveSize, s.segment/4), (s.log-2*s.segment)/4/step*step, 1), s.segment)
}

func (s *space) reservePath() string { return filepath.Join(s.dir, reserveName) }

// isFull says of an error that there is no room.
func isFull(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT)
}

// full makes err, or nothing, one that says that there is no room for messages.
func (s *space) full(err error) error {
	if err == nil || !isFull(err) {
		return err
	}
	return &types.StoreError{Op: "write to", Queue: s.dir, Err: fmt.Errorf("%w: %w", types.ErrDiskFull, err), Hint: hint(s.dir, err)}
}

// enough says whether as much of the disk is free as is to stay so.
func (s *space) enough() error {
	least := s.minFree()
	if least <= 0 {
		return nil
	}
	if now := time.Now(); s.looked.IsZero() || now.Sub(s.looked) >= lookEvery || now.Before(s.looked) {
		s.looked, s.least = now, nil
		if free, err := freeSpace(s.dir); err == nil && free < least { // an error is that of the next write, too
			s.least = &types.StoreError{
				Op: "write to", Queue: s.dir,
				Err:  fmt.Errorf("%w: %d MiB are free", types.ErrDiskFull, free>>20),
				Hint: fmt.Sprintf("free space on it, or lower limits.min_free_disk (%d MiB): what is stored is sent on meanwhile", least>>20),
			}
		}
	}
	return s.least
}

// extend sets aside the bytes of f up to end; there is room up to has already. It
// returns up to where there is room then.
func (s *space) extend(f *os.File, has, end int64) (int64, error) {
	if has >= end {
		return has, nil
	}
	for _, upTo := range []int64{min(max(end, has+s.step()), max(s.segment, end)), end} {
		switch err := allocate(f, has, upTo-has); {
		case err == nil:
			s.looked = time.Time{} // there is less now
			return upTo, nil
		case errors.Is(err, errors.ErrUnsupported):
			return s.segment, nil // it is found out when writing
		case !isFull(err) || upTo == end:
			return has, err
		}
	}
	return has, nil
}

// create makes an empty segment with room for so many bytes.
func (s *space) create(path string, bytes int64) (room int64, err error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return 0, err
	}
	if err = f.Truncate(s.segment); err == nil {
		room, err = s.extend(f, 0, min(bytes, s.segment))
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return 0, errors.Join(err, removeIfThere(path))
	}
	return room, nil
}

// keepReserve makes the reserve whole, or at least as large as there is room for.
func (s *space) keepReserve() error {
	want := s.wholeReserve()
	if s.reserve > want {
		if err := os.Truncate(s.reservePath(), want); err != nil {
			return err
		}
		s.reserve = want
	}
	if s.reserve >= want {
		return nil
	}
	f, err := os.OpenFile(s.reservePath(), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	var short error
	for size := want; size > s.reserve && size >= s.step()/4; size -= max(size/4, 1) {
		if err = allocate(f, 0, size); errors.Is(err, errors.ErrUnsupported) {
			err = fillZeros(f, size)
		}
		if err == nil {
			s.reserve = size
			break
		}
		short = err // and what a part of it took is given back
		if err = f.Truncate(s.reserve); err != nil || !isFull(short) {
			break
		}
	}
	if err = errors.Join(err, f.Close()); err == nil {
		err = short
	}
	if s.reserve == 0 {
		err = errors.Join(err, removeIfThere(s.reservePath()))
	}
	return err
}

// fillZeros makes f one of n zeros that take their space.
func fillZeros(f *os.File, n int64) error {
	if info, err := f.Stat(); err == nil && info.Size() == n {
		return nil
	}
	for off := int64(0); off < n; off += int64(len(blank)) {
		if _, err := f.WriteAt(blank[:min(int64(len(blank)), n-off)], off); err != nil {
			return err
		}
	}
	return nil
}

// spend makes the reserve the segment at path, also in the place of one that was
// begun, and returns how much room that has.
func (s *space) spend(path string) (int64, error) {
	if s.reserve == 0 {
		return 0, syscall.ENOSPC
	}
	room := s.reserve
	if err := os.Truncate(s.reservePath(), s.segment); err != nil {
		return 0, err
	}
	if err := os.Rename(s.reservePath(), path); err != nil {
		return 0, err
	}
	s.reserve = 0
	return room, nil
}

// begin makes the segment that a queue begins with at path, from the reserve if
// there is no other room.
func (s *space) begin(path string) error {
	room, err := s.create(path, s.step())
	if isFull(err) {
		room, err = s.spend(path)
	}
	s.active = room
	if err != nil {
		return err
	}
	if err := s.keepReserve(); err != nil && !isFull(err) {
		return err
	}
	return nil
}

// Reserve implements journal.Reserver.
func (m *medium) Reserve(n int) error {
	if err := m.failure(); err != nil {
		return err
	}
	err := m.space.enough()
	if err == nil {
		err = m.room(n)
	}
	if err = m.space.full(err); err == nil || errors.Is(err, types.ErrDiskFull) {
		return err
	}
	return m.fail("write to", err)
}

// keepReserve makes the reserve as large as the log wants it.
func (m *medium) keepReserve() error {
	m.space.log = m.used
	for _, s := range m.older {
		m.space.log += s.Bytes
	}
	return m.space.keepReserve()
}

// room sees to it that so many bytes can be appended beside the reserve.
func (m *medium) room(n int) error {
	need := min(entryHeaderMax+keySize+int64(n), m.space.segment)
	err := m.keepReserve()
	if err == nil {
		err = m.allocate(min(m.used+need, m.space.segment))
	}
	if err == nil && m.used > 0 && m.used+need > m.fullAt {
		err = m.prepareNext(need)
	}
	return err
}

// Spare implements journal.Reserver. It makes no segment: it may be asked for nothing.
func (m *medium) Spare(n int) int64 {
	need := entryHeaderMax + keySize + int64(n)
	err := m.keepReserve()
	if err == nil && m.used+need <= m.fullAt {
		err = m.allocate(m.used + need)
	} else if free, unknown := freeSpace(m.dir); err == nil && unknown == nil && free < need {
		err = syscall.ENOSPC
	}
	if isFull(err) {
		left := m.space.reserve + max(m.space.active-m.used, 0) // which may be what was the reserve
		return max(left-m.space.wholeReserve()/8, 0)
	}
	if m.space.enough() != nil {
		return m.space.segment // of what is to stay free
	}
	return math.MaxInt64
}

// Turn implements journal.Reserver.
func (m *medium) Turn(n int) (bool, error) {
	if err := m.failure(); err != nil {
		return false, err
	}
	if m.used == 0 {
		return true, nil // it begins with that
	}
	if m.space.reserve < m.space.wholeReserve()/2 {
		return false, nil
	}
	need := entryHeaderMax + keySize + int64(n)
	err := m.space.somehow(func() error { return m.prepareNext(need) })
	if isFull(err) {
		return false, nil
	}
	if err != nil {
		return false, m.fail("compact", err)
	}
	m.space.turn = true
	return true, nil
}

// allocate sets aside the active segment up to end.
func (m *medium) allocate(end int64) (err error) {
	m.space.active, err = m.space.extend(m.active.files[0], m.space.active, end)
	return err
}

// nextPath is that of the segment behind the active one.
func (m *medium) nextPath() string { return segmentFile(m.dir, m.active.id+1, dataSuffix) }

// prepareNext makes the segment behind the active one, with room for so many bytes.
func (m *medium) prepareNext(bytes int64) error {
	if m.space.next >= bytes {
		return nil
	}
	if m.space.next == 0 {
		room, err := m.space.create(m.nextPath(), bytes)
		m.space.next = room
		return err
	}
	f, err := os.OpenFile(m.nextPath(), os.O_RDWR, 0)
	if err != nil {
		return err
	}
	room, err := m.space.extend(f, m.space.next, bytes)
	m.space.next = room
	return errors.Join(err, f.Close())
}

// makeRoom sees to it that the next put has room, and lets it begin another segment
// if the active one has none: because it is full, or because the disk is and the
// reserve is all there is. If there is no room at all, that is left to the put.
func (m *medium) makeRoom(bytes int64) error {
	fits := m.used == 0 || m.used+bytes <= m.fullAt
	if fits && !m.space.turn {
		err := m.allocate(m.used + bytes)
		if err == nil {
			m.space.ahead.before(m.active.files[0], bytes, m.used+bytes, m.space.active)
		}
		if !isFull(err) || m.space.reserve == 0 {
			return nil
		}
	}
	err := m.prepareNext(bytes)
	if isFull(err) && m.space.reserve > 0 {
		m.space.next, err = m.space.spend(m.nextPath())
	}
	if err != nil && !isFull(err) {
		return err
	}
	m.db.rotate()
	return nil
}

// turned notes that another segment is the active one, and gives back what was set
// aside of the one before and not used.
func (m *medium) turned(before written) {
	if m.space.active > m.used {
		_ = punch(before.files[0], m.used, m.space.active-m.used) // where that is not possible it stays
	}
	m.space.active, m.space.next, m.space.turn = m.space.next, 0, false
	m.space.ahead.zeroed = 0
}
