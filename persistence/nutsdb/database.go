//go:build !js

package nutsdb

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"reflect"
	"syscall"
	"unsafe"

	"github.com/mqttdb/mqttdb/types"
	"github.com/nutsdb/nutsdb"
)

const (
	bucket   = "q"
	bucketID = 1

	// commitBuffer holds a full batch, so that memory is not allocated for each:
	// at 256 KiB that is a third of the time of a durable write. See lending.
	commitBuffer = 320 << 10
)

// database is a NutsDB database with the calls that are safe, each of which
// turns a panic into an error: one that leaves NutsDB's own transaction
// functions would leave its lock held.
type database struct {
	db     *nutsdb.DB
	dir    string
	size   int64 // of a segment
	writes bool  // in tests: it writes what it forgets, as earlier versions did
	buffer lending
}

// openDatabase opens the database in dir, whose files are as Start made them.
func openDatabase(dir string, segmentSize int64, from *buffers) (d *database, err error) {
	defer recoverInto(&err)
	o := nutsdb.DefaultOptions
	o.Dir = dir
	o.SegmentSize = segmentSize
	o.EntryIdxMode = nutsdb.HintKeyAndRAMIdxMode // values stay on disk
	o.RWMode = nutsdb.FileIO
	o.SyncEnable = false // Sync is ours
	o.EnableHintFile = true
	o.EnableMergeV2 = false
	o.MergeInterval = 0
	o.MaxFdNumsInCache = 8
	o.CleanFdsCacheThreshold = 0.5
	o.CommitBufferSize = commitBuffer
	o.ExpiredDeleteType = nutsdb.TimeHeap // the time wheel wakes up all the time
	db, err := nutsdb.Open(o)
	if err != nil {
		return nil, fmt.Errorf("open the database in %s: %w", dir, err)
	}
	return &database{db: db, dir: dir, size: segmentSize, buffer: newLending(from, db)}, nil
}

// put stores one entry.
func (d *database) put(key uint64, value []byte) (err error) {
	defer recoverInto(&err)
	d.buffer.begin(entryHeaderMax + len(bucket) + keySize + len(value))
	defer d.buffer.end()
	return d.db.Update(func(tx *nutsdb.Tx) (err error) {
		defer recoverInto(&err)
		return tx.Put(bucket, keyBytes(key), value, nutsdb.Persistent)
	})
}

// delete removes one key; it need not be there.
func (d *database) delete(key uint64) (err error) {
	defer recoverInto(&err)
	d.buffer.begin(entryHeaderMax + len(bucket) + keySize)
	defer d.buffer.end()
	err = d.db.Update(func(tx *nutsdb.Tx) (err error) {
		defer recoverInto(&err)
		return tx.Delete(bucket, keyBytes(key))
	})
	if errors.Is(err, nutsdb.ErrKeyNotFound) {
		return nil
	}
	return err
}

// get returns the value of key. An error that is not due to the state of the
// process wraps types.ErrCorrupt.
func (d *database) get(key uint64) (value []byte, err error) {
	err = d.db.View(func(tx *nutsdb.Tx) (err error) {
		defer recoverInto(&err)
		value, err = tx.Get(bucket, keyBytes(key))
		return err
	})
	if errors.Is(err, fs.ErrPermission) || errors.Is(err, syscall.EROFS) {
		return d.getReadOnly(key)
	}
	var path *fs.PathError
	if errors.As(err, &path) && !errors.Is(err, fs.ErrNotExist) || errors.Is(err, nutsdb.ErrDBClosed) {
		return nil, err // such as too many open files: the value may be well
	} else if err != nil {
		return nil, fmt.Errorf("%w: %v", types.ErrCorrupt, err)
	}
	return value, nil
}

// getReadOnly is get where files cannot be opened for writing, as NutsDB does for
// reading, too.
func (d *database) getReadOnly(key uint64) (value []byte, err error) {
	var id, offset uint64
	err = d.db.View(func(tx *nutsdb.Tx) (err error) {
		defer recoverInto(&err)
		it := nutsdb.NewIterator(tx, bucket, nutsdb.IteratorOptions{})
		if it == nil || !it.Seek(keyBytes(key)) || !bytes.Equal(it.Key(), keyBytes(key)) {
			return fmt.Errorf("%w: no such entry", types.ErrCorrupt)
		}
		id, offset = uint64(it.Item().Record.FileID), it.Item().Record.DataPos
		return nil
	})
	if err != nil {
		return nil, err
	}
	f, err := os.Open(segmentFile(d.dir, id, dataSuffix))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var w window
	w.reset(f, d.size)
	e, n, ok := entryAt(&w, int64(offset))
	if !ok || e.key != key {
		if len(w.unreadable) > 0 {
			return nil, &fs.PathError{Op: "read", Path: f.Name(), Err: syscall.EIO}
		}
		return nil, fmt.Errorf("%w: no entry at its place", types.ErrCorrupt)
	}
	return bytes.Clone(w.at(int64(offset)+n-int64(e.size), e.size)), nil
}

// active is the segment that was appended to last.
func (d *database) active() uint64 { return uint64(d.db.MaxFileID) }

// used is how many bytes of the active segment are written.
func (d *database) used() int64 { return d.db.ActiveFile.ActualSize }

// rotate makes the next put begin another segment: the active one has no room.
func (d *database) rotate() { d.db.ActiveFile.ActualSize = d.size }

// close gives back what NutsDB gives back, and the one file that it forgets. A
// goroutine and a few kilobytes stay, once for each close.
func (d *database) close() (err error) {
	defer recoverInto(&err)
	if d.db.ActiveFile == nil {
		// It failed between two segments, and would fail again on that.
		scratch, err := os.CreateTemp(d.dir, scratchPrefix)
		if err != nil {
			return err
		}
		defer os.Remove(scratch.Name())
		defer scratch.Close()
		files := nutsdb.NewFileManager(nutsdb.FileIO, 8, 0.5, 1)
		defer files.Close()
		if d.db.ActiveFile, err = files.GetDataFile(scratch.Name(), 1); err != nil {
			return err
		}
	}
	err = d.db.Close()
	closeBucketFile(d.db)
	return err
}

// closeBucketFile closes the descriptor of bucket.Meta, which NutsDB v1.1.0
// keeps open for ever. In another version, where it is not to be found like
// this, nothing is done.
func closeBucketFile(db *nutsdb.DB) {
	manager := reflect.ValueOf(db).Elem().FieldByName("bm")
	if manager.Kind() != reflect.Pointer || manager.IsNil() {
		return
	}
	fd := manager.Elem().FieldByName("fd")
	if !fd.IsValid() || fd.Type() != reflect.TypeFor[*os.File]() {
		return
	}
	file := *(**os.File)(unsafe.Pointer(fd.UnsafeAddr()))
	_ = file.Close() // nothing of it is waiting to be written
}

// recoverInto turns a panic into an error.
func recoverInto(err *error) {
	if r := recover(); r != nil {
		*err = fmt.Errorf("nutsdb panicked: %v", r)
	}
}
