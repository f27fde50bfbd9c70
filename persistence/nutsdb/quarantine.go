//go:build !js

package nutsdb

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"

	"github.com/mqttdb/mqttdb/persistence/journal"
	"github.com/mqttdb/mqttdb/types"
)

// maxQuarantine is how much a quarantine holds, in bytes: a disk that goes bad must
// not fill up with copies of what it has spoilt.
const maxQuarantine = 64 << 20

// quarantine keeps copies of bytes that are not what they should be, for whoever
// wants to look into them: their segment is removed in the course of time. A copy
// is named after segment and offset. What is there already is not copied again.
type quarantine struct {
	dir    string
	logger *slog.Logger
}

func newQuarantine(queue string, logger *slog.Logger) quarantine {
	return quarantine{filepath.Join(queue, quarantineName), logger}
}

// keep copies the bytes x of a segment. That it cannot is logged and no more.
func (q quarantine) keep(segment uint64, from io.ReaderAt, x extent) {
	path := filepath.Join(q.dir, fmt.Sprintf("%d-%d.bin", segment, x.offset))
	if _, err := os.Stat(path); err == nil || x.bytes <= 0 {
		return
	}
	if err := q.copy(path, from, x); err != nil {
		q.logger.Warn("damaged bytes could not be copied to the quarantine", "file", path, "bytes", x.bytes, "error", errors.Join(err, removeIfThere(path)))
		return
	}
	q.logger.Warn("damaged bytes were copied to the quarantine", "file", path, "bytes", x.bytes)
}

func (q quarantine) copy(path string, from io.ReaderAt, x extent) error {
	if err := os.Mkdir(q.dir, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	if size, err := q.size(); err != nil {
		return err
	} else if size+x.bytes > maxQuarantine {
		return fmt.Errorf("it would hold more than %d MiB: remove what nobody is going to look at", maxQuarantine>>20)
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	var w window // which makes zeros of what the disk does not give
	w.reset(from, x.end())
	for off := x.offset; off < x.end() && err == nil; {
		b := w.at(off, int(min(readAhead, x.end()-off)))
		_, err = f.Write(b)
		off += int64(len(b))
	}
	return errors.Join(err, f.Close())
}

func (q quarantine) size() (n int64, err error) {
	list, err := os.ReadDir(q.dir)
	for _, e := range list {
		if info, err := e.Info(); err == nil {
			n += info.Size()
		}
	}
	return n, err
}

// keepDamage copies what was found damaged. What looks like the last write of a
// process that was killed is not that.
func (s *source) keepDamage() {
	q := newQuarantine(s.dir, s.o.Logger)
	for i, seg := range s.segments {
		if seg.known {
			continue
		}
		f, err := os.Open(segmentFile(s.dir, seg.id, dataSuffix))
		if err != nil {
			continue
		}
		for _, d := range seg.damage {
			if last := i == len(s.segments)-1 && seg.torn && d.end() == seg.used; !last {
				q.keep(seg.id, f, extent{d.offset, min(d.bytes, seg.length-d.offset)})
			}
		}
		f.Close()
	}
}

var _ journal.Quarantiner = (*medium)(nil)

// Quarantine implements journal.Quarantiner.
func (m *medium) Quarantine(segment, key uint64) {
	f, err := os.Open(segmentFile(m.dir, segment, dataSuffix))
	if err != nil {
		return // nothing is left of it
	}
	defer f.Close()
	x, err := m.placeOf(segment, key)
	if err != nil {
		m.sealer.logger.Warn("where a damaged entry lies is not known: it is not copied to the quarantine", "dir", m.dir, "segment", segment, "entry", key, "error", err)
		return
	}
	newQuarantine(m.dir, m.sealer.logger).keep(segment, f, x)
}

// content is what lies in a segment: as it was found, or by its manifest.
func (m *medium) content(segment uint64) (seal, error) {
	m.mu.Lock()
	i := slices.IndexFunc(m.found, func(s sealing) bool { return s.id == segment })
	if i >= 0 {
		defer m.mu.Unlock()
		return m.found[i].seal, nil
	}
	m.mu.Unlock()
	b, err := os.ReadFile(segmentFile(m.dir, segment, sealSuffix))
	if err != nil {
		return seal{}, err
	}
	return decodeSeal(b)
}

// placeOf finds out which bytes of a segment are an entry.
func (m *medium) placeOf(segment, key uint64) (extent, error) {
	s, err := m.content(segment)
	if err != nil {
		return extent{}, err
	}
	for i, e := range s.entries {
		if e.key != key || e.delete {
			continue
		}
		end := s.used
		if i+1 < len(s.entries) {
			end = s.entries[i+1].offset
		}
		return extent{e.offset, end - e.offset}, nil
	}
	return extent{}, fmt.Errorf("%w: the manifest does not name it", types.ErrCorrupt)
}
