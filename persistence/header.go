package persistence

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/crc32"

	"github.com/mqttdb/mqttdb/types"
)

// The version of the format that this code writes, at most: an entry carries the
// lowest minor version that has all that is in it. A reader refuses a higher
// major version; a higher minor version only adds sections and fields that an
// older reader may skip.
const (
	Major = 1
	Minor = 1
)

// HeaderSize is the length of the header of every entry, in bytes.
const HeaderSize = 64

// Magic begins every entry. Its first byte is no ASCII and no UTF-8 start, so
// that text does not look like it.
const Magic = "\x8dMQB"

// Kind says what an entry is.
type Kind uint8

const (
	// KindBatch holds messages, a delta, or both.
	KindBatch Kind = 1
	// KindState holds a delta that, applied to nothing, gives the whole state.
	KindState Kind = 2
)

// Flags of an entry. Bits 0 to 2 are reserved for compression (two bits) and
// encryption (one) and must be zero in version 1.
const (
	FlagDelta     = 1 << 3 // it has a delta, so that a recovery must read it
	FlagRewritten = 1 << 4 // its messages were stored before, by entries of lower LSN
	flagsKnown    = FlagDelta | FlagRewritten
)

// Header is the fixed beginning of every entry, little-endian:
//
//	 0  4  magic 8d 'M' 'Q' 'B'
//	 4  1  major version
//	 5  1  minor version
//	 6  1  kind
//	 7  1  flags
//	 8 16  store id
//	24  8  LSN: the commit number, rising over the life of the store
//	32  8  first seq ─ the run of numbers that the entry speaks for;
//	40  8  last seq  ─ 0, 0 without messages
//	48  4  count of messages in it (less than the run has, once some are done)
//	52  4  length of the body in bytes
//	56  4  CRC32C of the body
//	60  4  CRC32C of the 60 bytes above
type Header struct {
	Major, Minor uint8
	Kind         Kind
	Flags        uint8
	Store        StoreID
	LSN          uint64
	First, Last  types.Seq
	Count        uint32
	BodyLen      uint32
	BodyCRC      uint32
}

// maxSeq bounds the numbers of messages, which keeps sums from overflowing.
const maxSeq = types.Seq(1) << 62

// castagnoli is the CRC32C polynomial, which processors compute by themselves.
var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Checksum is the CRC32C of b.
func Checksum(b []byte) uint32 { return crc32.Checksum(b, castagnoli) }

// put writes h into the first HeaderSize bytes of b.
func (h Header) put(b []byte) {
	copy(b, Magic)
	b[4], b[5], b[6], b[7] = h.Major, h.Minor, byte(h.Kind), h.Flags
	copy(b[8:24], h.Store[:])
	le := binary.LittleEndian
	le.PutUint64(b[24:], h.LSN)
	le.PutUint64(b[32:], uint64(h.First))
	le.PutUint64(b[40:], uint64(h.Last))
	le.PutUint32(b[48:], h.Count)
	le.PutUint32(b[52:], h.BodyLen)
	le.PutUint32(b[56:], h.BodyCRC)
	le.PutUint32(b[60:], Checksum(b[:60]))
}

// DecodeHeader reads the header of an entry from its first HeaderSize bytes. It
// returns an error that wraps types.ErrCorrupt, or types.ErrNewerFormat for an
// intact header of a higher major version.
func DecodeHeader(b []byte) (Header, error) {
	if len(b) < HeaderSize || !bytes.HasPrefix(b, []byte(Magic)) {
		return Header{}, fmt.Errorf("%w: no entry header", types.ErrCorrupt)
	}
	le := binary.LittleEndian
	if le.Uint32(b[60:]) != Checksum(b[:60]) {
		return Header{}, fmt.Errorf("%w: checksum of the header", types.ErrCorrupt)
	}
	h := Header{
		Major: b[4], Minor: b[5], Kind: Kind(b[6]), Flags: b[7],
		Store: StoreID(b[8:24]),
		LSN:   le.Uint64(b[24:]),
		First: types.Seq(le.Uint64(b[32:])),
		Last:  types.Seq(le.Uint64(b[40:])),
		Count: le.Uint32(b[48:]), BodyLen: le.Uint32(b[52:]), BodyCRC: le.Uint32(b[56:]),
	}
	if h.Major > Major {
		return h, fmt.Errorf("%w: format %d.%d, this version reads up to %d", types.ErrNewerFormat, h.Major, h.Minor, Major)
	}
	return h, h.check()
}

// check says whether the fields agree with each other.
func (h Header) check() error {
	run := uint64(h.Last - h.First)
	switch {
	case h.Major == 0 || h.Kind != KindBatch && h.Kind != KindState:
		return fmt.Errorf("%w: kind %d of version %d", types.ErrCorrupt, h.Kind, h.Major)
	case h.Flags&^flagsKnown != 0:
		return fmt.Errorf("%w: flags %#x", types.ErrCorrupt, h.Flags)
	case h.Kind == KindState && (h.Flags != FlagDelta || h.Count != 0):
		return fmt.Errorf("%w: a state with flags %#x and %d messages", types.ErrCorrupt, h.Flags, h.Count)
	case h.Last > maxSeq || h.First > h.Last || (h.First == 0) != (h.Count == 0) || h.First == 0 && h.Last != 0:
		return fmt.Errorf("%w: numbers %d to %d with %d messages", types.ErrCorrupt, h.First, h.Last, h.Count)
	case h.Count > 0 && uint64(h.Count)-1 > run:
		return fmt.Errorf("%w: %d messages in numbers %d to %d", types.ErrCorrupt, h.Count, h.First, h.Last)
	}
	return nil
}
