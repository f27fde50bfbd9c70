//go:build !js

package nutsdb

import (
	"bytes"
	"encoding/hex"
	"os"
	"path/filepath"
	"regexp"
	"testing"

	"github.com/nutsdb/nutsdb"
)

// The wrapper writes and reads NutsDB's files itself. If one of these tests
// fails after an upgrade, the formats have changed: stores of earlier releases
// must stay readable, so more is to be done than changing the bytes here.

func TestFormatNutsDBVersion(t *testing.T) {
	mod := readFile(t, filepath.Join("..", "..", "go.mod"))
	version := regexp.MustCompile(`(?m)^\s*(?:require )?github\.com/nutsdb/nutsdb (\S+)`).FindSubmatch(mod)
	if version == nil || string(version[1]) != "v1.1.0" {
		t.Errorf("go.mod requires nutsdb %s, the formats were checked for v1.1.0", version)
	}
	if regexp.MustCompile(`(?m)^\s*(?:replace )?github\.com/nutsdb/nutsdb\s.*=>`).Match(mod) {
		t.Error("go.mod replaces nutsdb")
	}
}

const goldenEntry = "41fc35ad" + // crc32
	"d0d3eab6b733" + // time 1767225600464
	"08" + "03" + "01" + "00" + "01" + "02" + // key size, value size, put, no ttl, committed, tree
	"81a09680808080c019" + // transaction id
	"01" + // bucket
	"0000000000000102" + "616263"

func nutsEntry() *nutsdb.Entry {
	meta := nutsdb.NewMetaData().WithTimeStamp(1767225600464).WithKeySize(8).WithValueSize(3).
		WithFlag(nutsdb.DataSetFlag).WithTTL(nutsdb.Persistent).WithStatus(nutsdb.Committed).
		WithDs(nutsdb.DataStructureBTree).WithTxID(1837468647967526913).WithBucketId(bucketID)
	return nutsdb.NewEntry().WithKey(keyBytes(0x102)).WithValue([]byte("abc")).WithMeta(meta)
}

func TestFormatEntry(t *testing.T) {
	b := nutsEntry().Encode()
	if got := hex.EncodeToString(b); got != goldenEntry {
		t.Errorf("nutsdb writes\n%s, want\n%s", got, goldenEntry)
	}
	var w window
	w.reset(bytes.NewReader(b), int64(len(b)))
	if c := scan(&w, nil); len(c.entries) != 1 || c.entries[0].key != 0x102 || string(c.entries[0].head) != "abc" || c.used != int64(len(b)) {
		t.Errorf("read as %+v", c)
	}
	if nutsdb.MaxEntryHeaderSize != entryHeaderMax || nutsdb.MinEntryHeaderSize != entryHeaderMin {
		t.Errorf("headers have %d to %d bytes", nutsdb.MinEntryHeaderSize, nutsdb.MaxEntryHeaderSize)
	}
}

func TestFormatHint(t *testing.T) {
	const want = "01" + "08" + "03" + "00" + "00" + "01" + "01" + "02" + "ac02" + "0e" + "0000000000000102" +
		"01" + "08" + "00" + "00" + "00" + "00" + "01" + "02" + "d802" + "0e" + "0000000000000102"
	got := hintFile(7, []stored{{key: 0x102, offset: 300, size: 3, head: []byte("abc")}, {key: 0x102, offset: 344, delete: true}})
	if hex.EncodeToString(got) != want {
		t.Errorf("nutsdb writes\n%x, want\n%s", got, want)
	}
	path := filepath.Join(t.TempDir(), "7.hint")
	writeFile(t, path, got)
	var r nutsdb.HintFileReader
	if err := r.Open(path); err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if h, err := r.Read(); err != nil || h.DataPos != 300 || h.FileID != 7 || h.ValueSize != 3 || h.Flag != nutsdb.DataSetFlag {
		t.Errorf("nutsdb reads %+v, %v", h, err)
	}
	if h, err := r.Read(); err != nil || h.DataPos != 344 || h.Flag != nutsdb.DataDeleteFlag {
		t.Errorf("nutsdb reads %+v, %v", h, err)
	}
}

func TestFormatBucket(t *testing.T) {
	b := nutsdb.Bucket{
		Meta: &nutsdb.BucketMeta{Op: nutsdb.BucketInsertOperation}, Id: bucketID, Ds: nutsdb.DataStructureBTree, Name: bucket,
	}
	if want := b.Encode(); !bytes.Equal(bucketFile(), want) {
		t.Errorf("we write %x, nutsdb %x", bucketFile(), want)
	}
	const want = "04d6b575" + "0100" + "0b000000" + "0100000000000000" + "0200" + "71"
	if got := hex.EncodeToString(bucketFile()); got != want {
		t.Errorf("bucket.Meta is\n%s, want\n%s", got, want)
	}
	dir := t.TempDir()
	m := openDir(t, dir, testSegment)
	appendKeys(t, m, 1, 40)
	m.Close()
	if got := readFile(t, filepath.Join(dir, bucketName)); !bytes.Equal(got, bucketFile()) {
		t.Errorf("after use bucket.Meta is %x", got)
	}
}

// What NutsDB writes itself when it is used as the wrapper uses it.
func TestFormatDataFile(t *testing.T) {
	dir := t.TempDir()
	m := openDir(t, dir, minSegmentSize)
	appendKeys(t, m, 1, 1)
	if err := m.db.delete(1); err != nil {
		t.Fatal(err)
	}
	b := readFile(t, segmentFile(dir, 1, dataSuffix))
	if len(b) != minSegmentSize {
		t.Errorf("%d bytes", len(b))
	}
	var w window
	w.reset(bytes.NewReader(b), int64(len(b)))
	c := scan(&w, &testStore)
	if len(c.entries) != 2 || len(c.damage) > 0 || c.entries[0].size != len(value(1)) || !c.entries[1].delete || c.entries[1].key != 1 || c.used != m.db.used() {
		t.Errorf("read as %+v, used %d", c, m.db.used())
	}
}

// Keys can be taken out of NutsDB's memory.
func TestFormatIndex(t *testing.T) {
	m := openDir(t, t.TempDir(), minSegmentSize)
	appendKeys(t, m, 1, 1)
	if index := indexOf(m.db.db); index == nil || !index.Delete(keyBytes(1)) || index.Delete(keyBytes(1)) {
		t.Error("the index of NutsDB is not where it was")
	}
}

// The files of ours, which later releases must read.
func TestFormatSeal(t *testing.T) {
	golden(t, "seal.golden", sampleSeal().encode())
}

func TestFormatStoreFile(t *testing.T) {
	golden(t, "store.golden", storeFile{SegmentSize, []byte("a record")}.encode())
}

func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if os.Getenv("UPDATE_GOLDEN") != "" {
		writeFile(t, path, got)
	}
	if want := readFile(t, path); !bytes.Equal(got, want) {
		t.Errorf("%s:\n%x, want\n%x", name, got, want)
	}
}
