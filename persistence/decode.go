package persistence

import (
	"encoding/binary"
	"fmt"
	"time"

	"github.com/mqttdb/mqttdb/types"
)

// Decode reads an entry. The payloads and properties of its records are parts
// of b, which must not be modified any more. The error wraps types.ErrCorrupt
// or types.ErrNewerFormat. It allocates no more than a small multiple of
// len(b).
func Decode(b []byte) (*Batch, error) {
	h, err := DecodeHeader(b)
	if err != nil {
		return nil, err
	}
	body := b[HeaderSize:]
	if uint64(len(body)) != uint64(h.BodyLen) {
		return nil, fmt.Errorf("%w: the body has %d bytes instead of %d", types.ErrCorrupt, len(body), h.BodyLen)
	}
	if Checksum(body) != h.BodyCRC {
		return nil, fmt.Errorf("%w: checksum of the body", types.ErrCorrupt)
	}
	batch := &Batch{
		LSN: h.LSN, Store: h.Store, Kind: h.Kind, Rewritten: h.Flags&FlagRewritten != 0,
		First: h.First, Last: h.Last,
	}
	if err := batch.sections(h, body); err != nil {
		return nil, err
	}
	if len(batch.Records) != int(h.Count) || (batch.Delta != nil) != (h.Flags&FlagDelta != 0) {
		return nil, fmt.Errorf("%w: the body does not hold what the header says", types.ErrCorrupt)
	}
	return batch, nil
}

// sections reads the body of an entry.
func (b *Batch) sections(h Header, body []byte) (err error) {
	var dictionary []string
	r := reader{b: body}
	last := uint64(0)
	for len(r.b) > 0 {
		tag := r.tag(&last)
		section := reader{b: r.sized()}
		if r.err != nil {
			return r.err
		}
		switch tag {
		case sectionDictionary:
			dictionary = section.dictionary()
		case sectionMessages:
			b.Records = section.messages(h, dictionary)
		case sectionEnvelopes:
			section.envelopes(b.Records)
		case sectionDelta:
			if b.Delta, err = decodeDelta(section.b); err != nil {
				return err
			}
			continue
		case sectionBirths:
			section.births(b.Records)
		case sectionReplays:
			section.replays(b.Records)
		default:
			if tag%2 == 1 {
				return fmt.Errorf("%w: unknown section %d", types.ErrNewerFormat, tag)
			}
			continue
		}
		if section.err != nil {
			return section.err
		}
		if len(section.b) > 0 {
			return fmt.Errorf("%w: %d bytes too many in section %d", types.ErrCorrupt, len(section.b), tag)
		}
	}
	return nil
}

// reader takes a byte slice apart; after the first error it returns zeros.
type reader struct {
	b   []byte
	err error
}

func (r *reader) fail(what string) {
	if r.err == nil {
		r.err = fmt.Errorf("%w: %s", types.ErrCorrupt, what)
	}
	r.b = nil
}

func (r *reader) uvarint() uint64 {
	n, size := binary.Uvarint(r.b)
	if size <= 0 {
		r.fail("a number is cut off")
		return 0
	}
	r.b = r.b[size:]
	return n
}

func (r *reader) varint() int64 {
	n, size := binary.Varint(r.b)
	if size <= 0 {
		r.fail("a number is cut off")
		return 0
	}
	r.b = r.b[size:]
	return n
}

func (r *reader) byte() byte {
	if len(r.b) == 0 {
		r.fail("cut off")
		return 0
	}
	c := r.b[0]
	r.b = r.b[1:]
	return c
}

// seq reads a number of a message, or one behind the last of them.
func (r *reader) seq() types.Seq {
	n := types.Seq(r.uvarint())
	if n > maxSeq+1 {
		r.fail("a number out of range")
		return 0
	}
	return n
}

// tag reads the tag of a section or field, which is above last.
func (r *reader) tag(last *uint64) uint64 {
	tag := r.uvarint()
	if tag <= *last {
		r.fail("sections or fields out of order")
	}
	*last = tag
	return tag
}

// sized returns the bytes that follow their own length.
func (r *reader) sized() []byte { return r.bytes(r.uvarint()) }

// bytes returns the next n bytes.
func (r *reader) bytes(n uint64) []byte {
	if n > uint64(len(r.b)) {
		r.fail("a length points past the end")
		return nil
	}
	b := r.b[:n:n]
	r.b = r.b[n:]
	return b
}

func (r *reader) dictionary() []string {
	n := r.uvarint()
	if n > uint64(len(r.b)) { // each string takes a byte at least
		r.fail("a dictionary larger than its section")
		return nil
	}
	out := make([]string, 0, n)
	for range n {
		out = append(out, string(r.sized()))
	}
	return out
}

// envelopes marks the messages that leave in an envelope.
func (r *reader) envelopes(of []Record) {
	for len(r.b) > 0 {
		gap := r.uvarint()
		if gap >= uint64(len(of)) {
			r.fail("an envelope of no message")
			return
		}
		of[gap].Enveloped = true
		of = of[gap+1:]
	}
}

func (r *reader) messages(h Header, dictionary []string) []Record {
	base := r.varint()
	if uint64(h.Count)*5 > uint64(len(r.b)) { // each message takes five bytes at least
		r.fail("more messages than their section can hold")
		return nil
	}
	text := func() string {
		i := r.uvarint()
		if i >= uint64(len(dictionary)) {
			r.fail("a string that is not in the dictionary")
			return ""
		}
		return dictionary[i]
	}
	out := make([]Record, h.Count)
	next := h.First
	for i := range out {
		rec := &out[i]
		gap := r.uvarint()
		if gap > uint64(h.Last-next) {
			r.fail("a message outside of its batch")
			return nil
		}
		rec.Seq = next + types.Seq(gap)
		next = rec.Seq + 1
		flags := r.byte()
		if flags&^messageKnown != 0 || flags&messageQoS == messageQoS {
			r.fail("flags of a message")
			return nil
		}
		m := &rec.Message
		m.QoS, m.Retain = types.QoS(flags&messageQoS), flags&messageRetain != 0
		m.Topic = text()
		rec.Enqueued = time.UnixMilli(base + r.varint())
		if flags&messageOrigin != 0 {
			rec.Origin = types.Origin{Source: text(), ID: r.uvarint()}
		}
		if flags&messageExpiry != 0 {
			ms := r.uvarint()
			if ms > uint64(1<<63-1)/uint64(time.Millisecond) {
				r.fail("an expiry out of range")
			}
			m.Expiry = time.Duration(ms) * time.Millisecond
		}
		if flags&messageProperties != 0 {
			m.Properties = r.sized()
		}
		m.Payload = r.sized()
		if r.err != nil {
			return nil
		}
		if i+1 < len(out) && next > h.Last {
			r.fail("more messages than numbers")
			return nil
		}
	}
	return out
}
