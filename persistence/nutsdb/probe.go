//go:build !js

package nutsdb

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/mqttdb/mqttdb/types"
)

// probeSize is how much a probe writes, in bytes: more than opening a queue does.
const probeSize = 512 << 10

// probe finds out whether a directory whose queue failed can be written again, before
// everything in it is read once more for nothing. For a full disk there is the reserve.
func probe(dir string) error {
	path := filepath.Join(dir, probeName)
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if errors.Is(err, fs.ErrNotExist) {
		if _, err := os.Stat(dir); errors.Is(err, fs.ErrNotExist) {
			return nil // it is made anew
		}
	}
	if err == nil {
		piece := bytes.Repeat([]byte{0xa5}, 64<<10)
		for n := 0; n < probeSize && err == nil; n += len(piece) {
			_, err = f.Write(piece)
		}
		if err == nil {
			err = f.Sync()
		}
		err = errors.Join(err, f.Close(), removeIfThere(path))
	}
	if isFull(err) {
		if info, there := os.Stat(filepath.Join(dir, reserveName)); there == nil && info.Size() > 0 {
			return nil
		}
	}
	return err
}

// there says whether the active segment is still what its name leads to: what is
// written to one that was removed, or whose directory was replaced, nobody would
// ever find.
func (m *medium) there() error {
	same, err := isFile(segmentFile(m.dir, m.active.id, dataSuffix), m.active.info)
	if isMissing(err) || err == nil && !same {
		return fmt.Errorf("%s was %w", m.dir, types.ErrGone)
	}
	return nil // what else is wrong the write will say
}

// isFileByStat is isFile where nothing better is to be had.
func isFileByStat(path string, info os.FileInfo) (bool, error) {
	now, err := os.Stat(path)
	return err == nil && os.SameFile(now, info), err
}

// isMissing says of an error that nothing has the name of a file, or that a file
// has the name of a directory above it.
func isMissing(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, errNotDirectory)
}

// There implements journal.Prober.
func (m *medium) There() error {
	if err := m.failure(); err != nil {
		return err
	}
	if err := m.there(); err != nil {
		return m.fail("look at", err)
	}
	if now := time.Now(); now.Sub(m.looked) >= missedEvery || now.Before(m.looked) {
		m.looked = now
		m.lookForOlder()
	}
	return nil
}

// missedEvery is how often it is looked for the files that are not written any more.
const missedEvery = 10 * time.Second

// lookForOlder says once of each file that was full and is missing. What is in it is
// read as long as it is open, and is damage after that.
func (m *medium) lookForOlder() {
	for _, s := range m.older {
		path := segmentFile(m.dir, s.ID, dataSuffix)
		if _, err := os.Stat(path); !isMissing(err) || m.missed[s.ID] {
			continue
		}
		m.missed[s.ID] = true
		m.logger.Error("a file of the store was removed while it is in use: what is in it may be lost at the next start; "+
			"have it sent before, or put the file back", "file", path)
	}
}

// Probe implements journal.Prober.
func (m *medium) Probe() error {
	b, err := os.ReadFile(filepath.Join(m.dir, storeName))
	if err == nil { // without its newest segment it is not what it was; a copy of it may do
		_, err = os.Stat(segmentFile(m.dir, m.active.id, dataSuffix))
	}
	switch {
	case isMissing(err):
		return explain("open", m.dir, fmt.Errorf("%s was %w", m.dir, types.ErrGone))
	case err != nil:
		return explain("open", m.dir, err)
	case !bytes.Equal(b, m.record):
		return explain("open", m.dir, fmt.Errorf("%s was %w: it is another store now", m.dir, types.ErrGone))
	}
	return explain("open", m.dir, probe(m.dir))
}
