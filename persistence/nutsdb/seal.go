//go:build !js

package nutsdb

import (
	"encoding/binary"
	"fmt"

	"github.com/mqttdb/mqttdb/persistence"
	"github.com/mqttdb/mqttdb/types"
)

// seal is the manifest of a segment that is not appended to any more. It is
// written once the segment is on stable storage, and spares reading it when the
// queue is opened; without it, or when it does not fit, the segment is read.
//
// It also remembers the damage that was reported once, so that it is not
// reported again. A manifest of length 0 without a data file stands for a
// segment that was never written to, so that its number is not missed.
// Little-endian:
//
//	 0  4  magic 8d 'M' 'Q' 'S'
//	 4  2  version, 1
//	 6  2  zero
//	 8  8  number of the segment
//	16  8  number of the segment before it; what lies between is known to be missing
//	24  8  length of the data file
//	32  8  bytes used
//	40  4  count of entries
//	44  4  count of damaged places
//	48     entries: 1 kind (0 put, 1 delete), 8 key, 4 offset, 4 size of the value,
//	       and how the value begins (64 bytes, or all of a shorter one)
//	       damaged places: 8 offset, 8 bytes
//	    4  CRC32C of all above
type seal struct {
	id, follows uint64
	length      int64
	content
}

const (
	sealMagic      = "\x8dMQS"
	sealVersion    = 1
	sealHeaderSize = 48
	sealEntrySize  = 1 + 8 + 4 + 4
	sealDamageSize = 16
)

func (s seal) encode() []byte {
	le := binary.LittleEndian
	b := make([]byte, 0, sealHeaderSize+len(s.entries)*(sealEntrySize+persistence.HeaderSize)+len(s.damage)*sealDamageSize+4)
	b = append(b, sealMagic...)
	b = le.AppendUint16(b, sealVersion)
	b = le.AppendUint16(b, 0)
	b = le.AppendUint64(b, s.id)
	b = le.AppendUint64(b, s.follows)
	b = le.AppendUint64(b, uint64(s.length))
	b = le.AppendUint64(b, uint64(s.used))
	b = le.AppendUint32(b, uint32(len(s.entries)))
	b = le.AppendUint32(b, uint32(len(s.damage)))
	for _, e := range s.entries {
		kind := byte(0)
		if e.delete {
			kind = 1
		}
		b = append(b, kind)
		b = le.AppendUint64(b, e.key)
		b = le.AppendUint32(b, uint32(e.offset))
		b = le.AppendUint32(b, uint32(e.size))
		b = append(b, e.head...)
	}
	for _, d := range s.damage {
		b = le.AppendUint64(b, uint64(d.offset))
		b = le.AppendUint64(b, uint64(d.bytes))
	}
	return le.AppendUint32(b, persistence.Checksum(b))
}

// decodeSeal reads a manifest. Its error wraps types.ErrCorrupt, also for a
// version that it does not know: a manifest can always be made again.
func decodeSeal(b []byte) (seal, error) {
	var s seal
	le := binary.LittleEndian
	bad := func(what string) (seal, error) {
		return seal{}, fmt.Errorf("%w: manifest: %s", types.ErrCorrupt, what)
	}
	if len(b) < sealHeaderSize+4 || string(b[:4]) != sealMagic || le.Uint16(b[4:]) != sealVersion {
		return bad("no header")
	}
	body := b[:len(b)-4]
	if le.Uint32(b[len(body):]) != persistence.Checksum(body) {
		return bad("checksum")
	}
	s.id, s.follows = le.Uint64(b[8:]), le.Uint64(b[16:])
	s.length, s.used = int64(le.Uint64(b[24:])), int64(le.Uint64(b[32:]))
	if s.used < 0 || s.used > s.length {
		return bad("lengths")
	}
	entries, damages := int64(le.Uint32(b[40:])), int64(le.Uint32(b[44:]))
	rest := body[sealHeaderSize:]
	if entries*sealEntrySize+damages*sealDamageSize > int64(len(rest)) {
		return bad("counts")
	}
	s.entries = make([]stored, 0, entries)
	end := int64(0)
	for range entries {
		if len(rest) < sealEntrySize {
			return bad("entries")
		}
		e := stored{
			delete: rest[0] == 1, key: le.Uint64(rest[1:]),
			offset: int64(le.Uint32(rest[9:])), size: int(le.Uint32(rest[13:])),
		}
		kind := rest[0]
		rest = rest[sealEntrySize:]
		head := min(e.size, persistence.HeaderSize)
		if kind > 1 || e.delete && e.size != 0 || e.size > SegmentSize || head > len(rest) || e.offset < end {
			return bad("entry")
		}
		if !e.delete {
			e.head = rest[:head:head]
			rest = rest[head:]
		}
		end = e.offset + entryHeaderMin + keySize + int64(e.size)
		if end > s.used {
			return bad("place of an entry")
		}
		s.entries = append(s.entries, e)
	}
	if int64(len(rest)) != damages*sealDamageSize {
		return bad("length")
	}
	for ; len(rest) > 0; rest = rest[sealDamageSize:] {
		d := extent{int64(le.Uint64(rest)), int64(le.Uint64(rest[8:]))}
		if d.offset < 0 || d.bytes < 0 || d.offset > s.length || d.bytes > s.length-d.offset {
			return bad("place of damage")
		}
		s.damage = append(s.damage, d)
	}
	return s, nil
}
