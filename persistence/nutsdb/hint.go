//go:build !js

package nutsdb

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"os"

	"github.com/nutsdb/nutsdb"
)

// hintFile is what NutsDB is to know about a segment: every entry that is
// intact, deletions included, and nothing else.
func hintFile(id uint64, entries []stored) []byte {
	var b bytes.Buffer
	b.Grow(len(entries) * 32)
	for _, e := range entries {
		h := nutsdb.HintEntry{
			BucketId: bucketID, ValueSize: uint32(e.size), Flag: nutsdb.DataSetFlag, Status: nutsdb.Committed,
			Ds: nutsdb.DataStructureBTree, DataPos: uint64(e.offset), FileID: int64(id), Key: keyBytes(e.key),
		}
		if e.delete {
			h.Flag = nutsdb.DataDeleteFlag
		}
		b.Write(h.Encode())
	}
	return b.Bytes()
}

// ensure makes the file at path have the given content. It compares the bytes
// first, so a file that is right is not written again, and one that a crash
// left half written is not believed.
func ensure(path string, content []byte) error {
	if had, err := os.ReadFile(path); err == nil && bytes.Equal(had, content) {
		return nil
	}
	return os.WriteFile(path, content, 0o600)
}

// bucketFile is the content of bucket.Meta with our one bucket, as NutsDB
// itself would write it: crc32, operation (1 insert), length of the rest, bucket
// id, structure (2 tree), name.
func bucketFile() []byte {
	le := binary.LittleEndian
	b := make([]byte, 4, 20+len(bucket))
	b = le.AppendUint16(b, 1)
	b = le.AppendUint32(b, uint32(10+len(bucket)))
	b = le.AppendUint64(b, bucketID)
	b = le.AppendUint16(b, nutsdb.DataStructureBTree)
	b = append(b, bucket...)
	le.PutUint32(b, crc32.ChecksumIEEE(b[4:]))
	return b
}
