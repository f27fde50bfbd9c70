//go:build !js

package nutsdb

import (
	"encoding/binary"
	"hash/crc32"

	"github.com/mqttdb/mqttdb/persistence"
)

const (
	keySize = 8
	// entryHeaderMin and entryHeaderMax bound the header of a NutsDB entry, in
	// bytes, without the key.
	entryHeaderMin = 4 + 9
	entryHeaderMax = 58
)

// stored is an entry as it was found in a data file.
type stored struct {
	key    uint64
	offset int64  // of the NutsDB entry in the file
	size   int    // of the value; 0 for a deletion
	head   []byte // how the value begins; nil for a deletion
	delete bool
}

// entryHeader is what matters of the header of a NutsDB entry.
type entryHeader struct {
	crc    uint32
	value  int64 // size of the value
	delete bool
	length int // of this header
}

// total is the length of the whole entry.
func (h entryHeader) total() int64 { return int64(h.length) + keySize + h.value }

// parseEntryHeader reads the header of an entry as this package writes them;
// anything else that NutsDB could have written is not ours.
func parseEntryHeader(b []byte) (h entryHeader, ok bool) {
	if len(b) < entryHeaderMin {
		return h, false
	}
	var fields [9]uint64 // time, key, value, flag, ttl, status, structure, tx, bucket
	at := 4
	for i := range fields {
		v, n := binary.Uvarint(b[at:])
		if n <= 0 {
			return h, false
		}
		fields[i] = v
		at += n
	}
	h = entryHeader{
		crc:    binary.LittleEndian.Uint32(b),
		value:  int64(fields[2]),
		delete: fields[3] == 0,
		length: at,
	}
	ok = fields[1] == keySize && fields[2] <= SegmentSize && fields[3] <= 1 &&
		fields[4] == 0 && fields[5] == 1 && fields[6] == 2 && fields[8] == bucketID &&
		(!h.delete || h.value == 0)
	return h, ok
}

// parseEntry reads the entry that b is, all of it, and says whether it is intact.
// The head is a part of b.
func parseEntry(b []byte, h entryHeader) (s stored, ok bool) {
	if int64(len(b)) != h.total() || crc32.ChecksumIEEE(b[4:]) != h.crc {
		return s, false
	}
	s.key = binary.BigEndian.Uint64(b[h.length:])
	s.delete = h.delete
	if !h.delete {
		value := b[h.length+keySize:]
		s.size, s.head = len(value), value[:min(len(value), persistence.HeaderSize)]
	}
	return s, true
}

// keyBytes is how a key is written: big-endian, so that NutsDB sorts by number.
func keyBytes(key uint64) []byte { return binary.BigEndian.AppendUint64(nil, key) }
