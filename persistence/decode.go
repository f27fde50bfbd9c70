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
	var dictionary []string
	r := reader{b: body}
	for len(r.b) > 0 && r.err == nil {
		tag, section := r.uvarint(), reader{}
		section.b = r.sized()
		if r.err != nil {
			break
		}
		switch tag {
		case sectionDictionary:
			dictionary = section.dictionary()
		case sectionMessages:
			batch.Records = section.messages(h, dictionary)
		case sectionDelta:
			if batch.Delta, err = decodeDelta(section.b); err != nil {
				return nil, err
			}
			section.b = nil
		default:
			if tag%2 == 1 {
				return nil, fmt.Errorf("%w: unknown section %d", types.ErrNewerFormat, tag)
			}
			section.b = nil
		}
		if section.err != nil {
			return nil, section.err
		}
		if len(section.b) > 0 {
			return nil, fmt.Errorf("%w: %d bytes too many in section %d", types.ErrCorrupt, len(section.b), tag)
		}
	}
	if r.err != nil {
		return nil, r.err
	}
	if len(batch.Records) != int(h.Count) || (batch.Delta != nil) != (h.Flags&FlagDelta != 0) {
		return nil, fmt.Errorf("%w: the body does not hold what the header says", types.ErrCorrupt)
	}
	return batch, nil
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

// sized returns the bytes that follow their own length.
func (r *reader) sized() []byte {
	n := r.uvarint()
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

func (r *reader) run(previous types.Seq) Range {
	first := previous + types.Seq(r.uvarint())
	last := first + types.Seq(r.uvarint())
	if first <= previous || last < first {
		r.fail("a run of numbers")
	}
	return Range{first, last}
}

func (r *reader) runs() Ranges {
	var out Ranges
	previous := types.Seq(0)
	for len(r.b) > 0 && r.err == nil {
		run := r.run(previous)
		out = append(out, run)
		previous = run.Last
	}
	return out
}

func (r *reader) abandoned() []Done {
	var out []Done
	previous := types.Seq(0)
	for len(r.b) > 0 && r.err == nil {
		run := r.run(previous)
		out = append(out, Done{run, types.Reason(r.byte())})
		previous = run.Last
	}
	return out
}
