//go:build !js

package nutsdb

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"

	"github.com/mqttdb/mqttdb/persistence"
	"github.com/mqttdb/mqttdb/persistence/journal"
	"github.com/mqttdb/mqttdb/types"
)

// maxUnsynced is how many full segments may wait for a Sync. If none comes,
// Append does it, so that neither open files nor what a power cut would take
// grow without bounds.
const maxUnsynced = 4

// medium implements journal.Medium on a NutsDB database.
type medium struct {
	dir     string
	record  []byte // the content of STORE
	db      *database
	disk    disk
	bad     *badSectors
	closed  func(failed bool)
	lock    *lock
	max     int64 // size of the largest value
	fullAt  int64 // size at which another segment is begun
	sealer  *sealer
	logger  *slog.Logger
	space   space
	used    int64             // bytes written to the active segment
	older   []journal.Segment // the others, in order
	names   chan error        // tells how a sync of the directory after a Drop went; nil: there is none
	missed  map[uint64]bool   // segments whose files were found to be missing
	looked  time.Time         // when that was looked for
	follows uint64            // the segment before the first that this run appended to
	first   uint64            // that one

	// syncing is held by the Sync or Close that is under way, and shared by
	// Syncs of nothing but the active segment.
	syncing sync.RWMutex

	mu       sync.Mutex // guards what follows; never held while something is synced
	active   written
	dirty    bool      // something was appended to active since it was synced
	syncs    int       // by syncActive, that are under way
	full     []written // to be synced, and then sealed
	newName  bool      // the directory is to be synced
	appended bool      // something was appended at all
	found    []sealing // what Inspect had to find out, until it can be forgotten
	strays   []uint64  // manifests without a segment, likewise
	failed   error
}

// written is a segment that this run appended to, and descriptors of our own:
// two, for as many syncs at once. The kernel tells each descriptor once that
// writing has failed; shared, it would tell only one of two syncs.
type written struct {
	id    uint64
	info  os.FileInfo // what tells it from another file of that name
	used  int64       // bytes, once it is full
	files [2]*os.File
	idle  chan *os.File // those that are not being synced
}

// openWritten opens a segment that this run appends to.
func openWritten(dir string, id uint64) (written, error) {
	w := written{id: id, idle: make(chan *os.File, 2)}
	for i := range w.files {
		f, err := os.OpenFile(segmentFile(dir, id, dataSuffix), os.O_RDWR, 0)
		if err != nil {
			return written{}, errors.Join(err, w.close())
		}
		w.files[i] = f
		w.idle <- f
	}
	var err error
	if w.info, err = w.files[0].Stat(); err != nil {
		return written{}, errors.Join(err, w.close())
	}
	return w, nil
}

func (w *written) close() error {
	var errs []error
	for _, f := range w.files {
		if f != nil {
			errs = append(errs, f.Close())
		}
	}
	return errors.Join(errs...)
}

var (
	_ journal.Medium   = (*medium)(nil)
	_ journal.Reserver = (*medium)(nil)
	_ journal.Prober   = (*medium)(nil)
)

// newMedium takes over what the source has.
func newMedium(s *source, db *database, active written, record []byte) *medium {
	m := &medium{
		dir: s.dir, record: record, db: db, disk: s.disk, bad: s.bad, closed: s.closed, lock: s.lock,
		max:    s.segmentSize - entryHeaderMax - keySize,
		fullAt: min(s.fullAt, s.segmentSize),
		sealer: newSealer(s.dir, s.o.Logger),
		logger: s.o.Logger, missed: make(map[uint64]bool),
		follows: s.lastID(), first: active.id,
		active: active, space: s.space,
	}
	for _, seg := range s.segments {
		m.older = append(m.older, journal.Segment{ID: seg.id, Bytes: seg.used})
		if seg.stale {
			m.found = append(m.found, sealing{seal: seg.seal, known: true})
		}
	}
	m.strays = s.strays()
	s.lock, s.segments, s.names = nil, nil, listing{}
	return m
}

// Append implements journal.Medium.
func (m *medium) Append(key uint64, value []byte) (segment uint64, err error) {
	if err := m.failure(); err != nil {
		return 0, err
	}
	if int64(len(value)) > m.max {
		return 0, m.fail("append to", fmt.Errorf("%w: a value of %d bytes, a segment takes %d", types.ErrTooLarge, len(value), m.max))
	}
	if err := m.there(); err != nil {
		return 0, m.fail("append to", err)
	}
	if err := m.makeRoom(entryHeaderMax + keySize + int64(len(value))); err != nil {
		return 0, m.fail("append to", err)
	}
	if err := m.db.put(key, value); err != nil {
		return 0, m.fail("append to", err)
	}
	unsynced, err := m.landed()
	if err != nil {
		return 0, m.fail("append to", err)
	}
	if unsynced > maxUnsynced {
		if err := m.Sync(); err != nil {
			return 0, err
		}
	}
	return m.active.id, nil
}

// landed notes where the last entry went, and says how many full segments are
// not synced.
func (m *medium) landed() (unsynced int, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if id := m.db.active(); id != m.active.id {
		active, err := openWritten(m.dir, id)
		if err != nil {
			return 0, err
		}
		if err := active.files[0].Chmod(0o600); err != nil { // NutsDB made it
			return 0, errors.Join(err, active.close())
		}
		m.turned(m.active)
		m.older = append(m.older, journal.Segment{ID: m.active.id, Bytes: m.used})
		m.active.used = m.used
		m.full = append(m.full, m.active)
		m.active, m.newName = active, true
	}
	m.used = m.db.used()
	m.dirty, m.appended = true, true
	return len(m.full), nil
}

// Sync implements journal.Medium. Two at once keep the disk busy while the
// processor is on its way from the one to the other.
func (m *medium) Sync() error {
	if done, err := m.syncActive(); done {
		return err
	}
	m.syncing.Lock()
	defer m.syncing.Unlock()
	return m.syncAll()
}

// syncActive syncs the active segment if nothing else is to be synced.
func (m *medium) syncActive() (done bool, err error) {
	m.syncing.RLock()
	defer m.syncing.RUnlock()
	m.mu.Lock()
	failed, idle := m.failed, m.active.idle
	alone := failed == nil && len(m.full) == 0 && !m.newName && len(m.found) == 0 && len(m.strays) == 0
	needed := m.dirty || m.syncs > 0 // what was appended may be in one that is under way
	if alone && needed {
		m.dirty = false
		m.syncs++
	}
	m.mu.Unlock()
	switch {
	case failed != nil:
		return true, failed
	case !alone:
		return false, nil
	case !needed:
		return true, nil
	}
	file := <-idle
	err = m.disk.sync(file)
	idle <- file
	m.mu.Lock()
	m.syncs--
	m.mu.Unlock()
	if err != nil {
		return true, m.fail("sync", err)
	}
	return true, m.failure() // of the other one, which may have been for what this one was to sync, too
}

// syncAll syncs what is not synced. The caller holds syncing.
func (m *medium) syncAll() error {
	m.mu.Lock()
	if m.failed != nil {
		defer m.mu.Unlock()
		return m.failed
	}
	full, active, dirty, newName := m.full, m.active, m.dirty, m.newName
	m.full, m.dirty, m.newName = nil, false, false
	var found []sealing
	var strays []uint64
	if m.appended {
		found, strays, m.found, m.strays = m.found, m.strays, nil, nil
	}
	m.mu.Unlock()

	err := m.syncFound(found)
	for _, w := range full {
		if err == nil {
			err = m.disk.sync(w.files[0])
		}
		err = errors.Join(err, w.close())
	}
	if dirty && err == nil {
		err = m.disk.sync(active.files[0])
	}
	if newName && err == nil {
		err = m.disk.syncNames(m.dir)
	}
	if err != nil {
		// Never tried again: the next answer could be a wrong yes.
		return m.fail("sync", err)
	}
	// From now on what was found is known: the first entry of the owner, which
	// says what it made of it, is as safe as what was found. Until then a crash
	// lets everything be found and reported again.
	for _, s := range found {
		if len(s.damage) > 0 || s.follows != s.id-1 {
			m.sealer.now(s)
		} else {
			m.sealer.add(s)
		}
	}
	for _, w := range full {
		m.sealer.add(m.sealing(w.id, w.used))
	}
	for _, id := range strays {
		if err := removeIfThere(segmentFile(m.dir, id, sealSuffix)); err != nil {
			return m.fail("sync", err)
		}
	}
	return nil
}

// syncFound syncs segments of the run before, which may have died and left them
// to the operating system.
func (m *medium) syncFound(found []sealing) error {
	for _, s := range found {
		f, err := os.OpenFile(segmentFile(m.dir, s.id, dataSuffix), os.O_RDWR, 0)
		if errors.Is(err, os.ErrNotExist) {
			continue // dropped by now
		} else if err != nil {
			return err
		}
		if err := errors.Join(m.disk.sync(f), f.Close()); err != nil {
			return err
		}
	}
	return nil
}

// sealing is the order to seal a segment to which this run has written so much.
func (m *medium) sealing(id uint64, written int64) sealing {
	s := sealing{seal: seal{id: id, follows: id - 1}, written: written}
	if id == m.first {
		s.follows = m.follows
	}
	return s
}

// Load implements journal.Medium.
func (m *medium) Load(key uint64) ([]byte, error) {
	if err := m.failure(); errors.Is(err, types.ErrClosed) {
		return nil, err
	}
	value, err := m.disk.read(m.db, key)
	if m.bad.lost(m, key, err) {
		err = fmt.Errorf("%w: %v, again", types.ErrCorrupt, err)
	}
	if err != nil {
		return nil, explain("read", m.dir, fmt.Errorf("entry %d: %w", key, err))
	}
	m.bad.well(m, key)
	// NutsDB has compared the checksum, but not the key: a file in the place of
	// another has good entries, too.
	if h, err := persistence.DecodeHeader(value); err == nil && h.LSN != key {
		return nil, explain("read", m.dir, fmt.Errorf("entry %d: %w: it is entry %d", key, types.ErrCorrupt, h.LSN))
	}
	return value[:len(value):len(value)], nil
}

// Forget implements journal.Medium.
func (m *medium) Forget(keys []uint64) error {
	if err := m.failure(); err != nil {
		return err
	}
	if err := m.db.forget(keys); err != nil {
		return m.fail("remove from", err)
	}
	return nil
}

// Drop implements journal.Medium.
func (m *medium) Drop(below uint64) (reclaimed int64, err error) {
	if err := m.failure(); err != nil {
		return 0, err
	}
	if err := m.there(); err != nil { // what lies there now is not ours to remove
		return 0, m.fail("compact", err)
	}
	for len(m.older) > 0 && m.older[0].ID < below {
		oldest := m.older[0]
		if err := m.namesSynced(); err != nil {
			return reclaimed, m.fail("compact", err)
		}
		if err := m.drop(oldest.ID); err != nil {
			return reclaimed, m.fail("compact", err)
		}
		m.syncNames()
		reclaimed += oldest.Bytes
		m.older = m.older[1:]
	}
	if reclaimed > 0 {
		if err := m.keepReserve(); err != nil && !isFull(err) { // before others take what came back
			return reclaimed, m.fail("compact", err)
		}
	}
	return reclaimed, nil
}

// syncNames lets the directory be synced. Nobody waits for that but who removes the
// next segment: what is left of a power cut has lost segments at its beginning only,
// in whatever order the names go that were removed since the last sync.
func (m *medium) syncNames() {
	m.names = make(chan error, 1)
	go func(done chan<- error) { done <- m.disk.syncNames(m.dir) }(m.names)
}

// namesSynced waits until that is done.
func (m *medium) namesSynced() error {
	if m.names == nil {
		return nil
	}
	err := <-m.names
	m.names = nil
	return err
}

// drop removes the oldest segment.
func (m *medium) drop(id uint64) error {
	m.mu.Lock()
	if len(m.full) > 0 && m.full[0].id == id { // need not be synced any more
		m.full[0].close()
		m.full = m.full[1:]
	}
	m.mu.Unlock()
	defer m.sealer.hold(id)()
	// NutsDB may have it open and would keep its space.
	path := segmentFile(m.dir, id, dataSuffix)
	if err := os.Truncate(path, 0); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	for _, suffix := range []string{dataSuffix, sealSuffix, hintSuffix} {
		if err := removeIfThere(segmentFile(m.dir, id, suffix)); err != nil {
			return err
		}
	}
	return nil
}

// Close implements journal.Medium.
func (m *medium) Close() error {
	m.syncing.Lock()
	defer m.syncing.Unlock()
	err := m.failure()
	if errors.Is(err, types.ErrClosed) {
		return nil
	}
	if named := m.namesSynced(); err == nil && named != nil {
		err = m.fail("close", named)
	}
	poisoned := err != nil
	if !poisoned {
		if err = m.syncAll(); err == nil && m.used > 0 {
			m.sealer.add(m.sealing(m.active.id, m.db.used()))
		}
	}
	m.sealer.wait()
	m.mu.Lock()
	m.failed = fmt.Errorf("%s: %w", m.dir, types.ErrClosed)
	m.mu.Unlock()
	if m.space.active > m.used {
		_ = punch(m.active.files[0], m.used, m.space.active-m.used)
	}
	for _, w := range append(m.full, m.active) {
		w.close()
	}
	if closing := m.db.close(); !poisoned { // else it is not news that it is not well
		err = errors.Join(err, closing)
	}
	if poisoned {
		err = nil
	}
	err = errors.Join(err, m.lock.release())
	m.closed(poisoned)
	return explain("close", m.dir, err)
}

// failure is what made the medium useless, if something did.
func (m *medium) failure() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.failed
}

// fail makes err, unless something failed before, the answer of every later
// call, and returns it.
func (m *medium) fail(op string, err error) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.failed == nil {
		m.failed = explain(op, m.dir, err)
	}
	return m.failed
}
