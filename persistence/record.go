package persistence

import (
	"encoding/binary"
	"fmt"

	"github.com/mqttdb/mqttdb/types"
)

// recordSize is the length of a store record, in bytes.
const recordSize = 32

// EncodeStoreRecord returns what a store keeps beside its entries to say what
// it is, little-endian:
//
//	 0  4  "MQDS"
//	 4  1  major version of the newest entry that may be in it
//	 5  1  minor version
//	 6  2  zero
//	 8 16  store id
//	24  4  zero
//	28  4  CRC32C of the 28 bytes above
func EncodeStoreRecord(id StoreID) []byte {
	b := make([]byte, recordSize)
	copy(b, "MQDS")
	b[4], b[5] = Major, Minor
	copy(b[8:], id[:])
	binary.LittleEndian.PutUint32(b[28:], Checksum(b[:28]))
	return b
}

// DecodeStoreRecord reads a store record. The error wraps types.ErrCorrupt or
// types.ErrNewerFormat. A later version may append to it.
func DecodeStoreRecord(b []byte) (StoreID, error) {
	if len(b) < recordSize || string(b[:4]) != "MQDS" || binary.LittleEndian.Uint32(b[28:]) != Checksum(b[:28]) {
		return StoreID{}, fmt.Errorf("%w: store record", types.ErrCorrupt)
	}
	if b[4] > Major {
		return StoreID{}, fmt.Errorf("%w: format %d.%d, this version reads up to %d.x", types.ErrNewerFormat, b[4], b[5], Major)
	}
	return StoreID(b[8:24]), nil
}
