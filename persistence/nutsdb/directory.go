//go:build !js

package nutsdb

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"

	"github.com/mqttdb/mqttdb/types"
)

const (
	lockName   = "LOCK"
	storeName  = "STORE"
	tmpSuffix  = ".tmp"
	dataSuffix = ".dat"
	hintSuffix = ".hint"
	sealSuffix = ".seal"
	bucketName = "bucket.Meta"
	flockName  = "nutsdb-flock"
	probeName  = "probe.tmp"
	// reserveName is space that is kept for a full disk, see space.
	reserveName = "RESERVE"
	// scratchPrefix begins the name of a file that closing may need.
	scratchPrefix = "scratch-"
	// quarantineName is kept free for copies of damaged bytes.
	quarantineName = "quarantine"

	// maxID bounds the numbers of segments, so that there is always a next one.
	maxID = 1 << 53
)

// listing is what a queue's directory holds, by name only.
type listing struct {
	data    []uint64 // segments with a data file, ascending
	seals   []uint64
	hints   []uint64
	store   bool
	lock    bool
	temp    []string // files that a crash left half made
	foreign []string // names that are not ours
	usurped []string // ours, but of something that is no file: opening it may never end
}

// list reads the names in dir. A directory that does not exist is empty.
func list(dir string) (listing, error) {
	var l listing
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return l, nil
	} else if err != nil {
		return l, err
	}
	for _, e := range entries {
		switch name := e.Name(); {
		case name != quarantineName && isOurs(name) && !e.Type().IsRegular():
			l.usurped = append(l.usurped, name)
		case name == lockName:
			l.lock = true
		case name == storeName:
			l.store = true
		case name == bucketName, name == flockName, name == quarantineName, name == reserveName:
		case name == storeName+tmpSuffix, name == bucketName+tmpSuffix, strings.HasSuffix(name, sealSuffix+tmpSuffix),
			name == probeName, strings.HasPrefix(name, scratchPrefix):
			l.temp = append(l.temp, name)
		default:
			id, suffix, ok := parseName(name)
			switch {
			case !ok:
				l.foreign = append(l.foreign, name)
			case suffix == dataSuffix:
				l.data = append(l.data, id)
			case suffix == sealSuffix:
				l.seals = append(l.seals, id)
			case suffix == hintSuffix:
				l.hints = append(l.hints, id)
			}
		}
	}
	slices.Sort(l.data)
	slices.Sort(l.seals)
	return l, nil
}

// isOurs says whether a queue has, or makes, a file of that name.
func isOurs(name string) bool {
	switch name {
	case lockName, storeName, storeName + tmpSuffix, bucketName, bucketName + tmpSuffix, flockName, reserveName, probeName:
		return true
	}
	_, _, ok := parseName(strings.TrimSuffix(name, tmpSuffix))
	return ok
}

// parseName splits the name of a file that belongs to a segment.
func parseName(name string) (id uint64, suffix string, ok bool) {
	base, ext, _ := strings.Cut(name, ".")
	suffix = "." + ext
	if suffix != dataSuffix && suffix != hintSuffix && suffix != sealSuffix {
		return 0, "", false
	}
	id, err := strconv.ParseUint(base, 10, 64)
	return id, suffix, err == nil && id >= 1 && id <= maxID && strconv.FormatUint(id, 10) == base
}

// check returns an error that wraps types.ErrForeign if the directory is
// somebody else's, or holds a file that NutsDB would take for its own.
func (l listing) check(dir string) error {
	if len(l.usurped) > 0 {
		return fmt.Errorf("%w: %s in %s is no file: move that away", types.ErrForeign, l.usurped[0], dir)
	}
	names := l.foreign
	if l.store || len(l.data) > 0 {
		names = slices.DeleteFunc(slices.Clone(l.foreign), func(name string) bool {
			return !strings.HasSuffix(name, dataSuffix) && !strings.HasPrefix(name, "merge_")
		})
	}
	if len(names) == 0 {
		return nil
	}
	return foreign(dir, names)
}

func foreign(dir string, names []string) error {
	some := strings.Join(names[:min(len(names), 3)], ", ")
	if more := len(names) - 3; more > 0 {
		some += fmt.Sprintf(" and %d more", more)
	}
	return fmt.Errorf("%w: %s holds %s: move that away or choose another directory", types.ErrForeign, dir, some)
}

// segmentFile is the path of a segment's file.
func segmentFile(dir string, id uint64, suffix string) string {
	return filepath.Join(dir, strconv.FormatUint(id, 10)+suffix)
}

// makeDir makes dir and what is missing above it, durably.
func makeDir(dir string) error {
	if info, err := os.Stat(dir); err == nil && info.IsDir() {
		return nil
	}
	parent := filepath.Dir(dir)
	if parent != dir {
		if err := makeDir(parent); err != nil {
			return err
		}
	}
	if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	if info, err := os.Stat(dir); err != nil {
		return err
	} else if !info.IsDir() {
		return &fs.PathError{Op: "mkdir", Path: dir, Err: errNotDirectory}
	}
	return syncDir(parent)
}

// disk is how things get onto stable storage; tests have others.
type disk struct {
	sync      func(f *os.File) error // the content of f
	syncNames func(dir string) error // the names in dir

	read func(d *database, key uint64) ([]byte, error)
}

var realDisk = disk{syncData, syncDir, (*database).get}

// syncDir makes the names in dir durable.
func syncDir(dir string) error {
	if runtime.GOOS == "windows" {
		return nil // a directory cannot be synced there, nor need it
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// writeDurably replaces the file at path by one with the given content. After a
// crash it is the old one or the new one; syncing the directory is left to the
// caller.
func writeDurably(path string, content []byte) error {
	tmp := path + tmpSuffix
	f, err := os.OpenFile(tmp, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	return os.Rename(tmp, path)
}

// removeIfThere removes a file that need not exist.
func removeIfThere(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}
