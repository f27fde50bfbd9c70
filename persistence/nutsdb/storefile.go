//go:build !js

package nutsdb

import (
	"encoding/binary"
	"fmt"

	"github.com/mqttdb/mqttdb/persistence"
	"github.com/mqttdb/mqttdb/types"
)

// storeFile is the content of STORE: the store record, opaque to this package,
// and the size of a segment, which is constant for the life of a store.
// Little-endian:
//
//	 0  4  magic 8d 'M' 'Q' 'R'
//	 4  2  version, 1
//	 6  2  zero
//	 8  8  size of a segment in bytes
//	16  4  length of the record
//	20     record
//	    4  CRC32C of all above
type storeFile struct {
	segmentSize int64
	record      []byte
}

const (
	storeMagic      = "\x8dMQR"
	storeVersion    = 1
	storeHeaderSize = 20
)

func (s storeFile) encode() []byte {
	le := binary.LittleEndian
	b := append([]byte(nil), storeMagic...)
	b = le.AppendUint16(b, storeVersion)
	b = le.AppendUint16(b, 0)
	b = le.AppendUint64(b, uint64(s.segmentSize))
	b = le.AppendUint32(b, uint32(len(s.record)))
	b = append(b, s.record...)
	return le.AppendUint32(b, persistence.Checksum(b))
}

// decodeStoreFile reads a STORE. The error wraps types.ErrCorrupt, or
// types.ErrNewerFormat for an intact one of a later version.
func decodeStoreFile(b []byte) (storeFile, error) {
	le := binary.LittleEndian
	if len(b) < storeHeaderSize+4 || string(b[:4]) != storeMagic || le.Uint32(b[len(b)-4:]) != persistence.Checksum(b[:len(b)-4]) {
		return storeFile{}, fmt.Errorf("%w: checksum", types.ErrCorrupt)
	}
	if v := le.Uint16(b[4:]); v > storeVersion {
		return storeFile{}, fmt.Errorf("%w: layout %d of the directory, this version reads up to %d", types.ErrNewerFormat, v, storeVersion)
	}
	s := storeFile{segmentSize: int64(le.Uint64(b[8:])), record: b[storeHeaderSize : len(b)-4]}
	if int(le.Uint32(b[16:])) != len(s.record) || !validSegmentSize(s.segmentSize) {
		return storeFile{}, fmt.Errorf("%w: sizes", types.ErrCorrupt)
	}
	return s, nil
}
