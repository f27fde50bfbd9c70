package persistence

import (
	"encoding/binary"
	"time"

	"github.com/mqttdb/mqttdb/types"
)

// Batch is an entry of the log: what one durable write holds. After its Header
// follow sections, each a tag, a length and that many bytes; tag and length are
// uvarints (as in encoding/binary). Tags rise. An odd one must be understood by
// a reader, an even one may be skipped.
//
//	1 dictionary  uvarint count, then per string: uvarint length, bytes
//	3 messages    varint base time (Unix ms), then per message:
//	                uvarint  seq − previous seq − 1 (of the first: seq − header.First)
//	                byte     bits 0-1 QoS, 2 retain, 3 origin, 4 properties,
//	                         5 expiry, 6-7 zero
//	                uvarint  topic, an index into the dictionary
//	                varint   enqueue time − base time, ms
//	                [uvarint origin source, an index; uvarint origin id]
//	                [uvarint expiry, ms]
//	                [uvarint length, MQTT 5 properties]
//	                uvarint  length, payload
//	4 envelopes   since 1.1, per message that leaves in an envelope: uvarint
//	                its index among the messages − that of the one before − 1
//	5 delta       fields, see Delta
//	6 births      since 1.1, per run of messages: uvarint count × 2, and 1 if it is
//	                known when, on the age clock of the queue, they were accepted;
//	                then varint enqueue time − that − the same of the run before, ms
//	8 replays     since 1.1, per message that is a replay: uvarint its index − that of
//	                the one before − 1; varint enqueue time − when it was first
//	                accepted, ms
type Batch struct {
	LSN       uint64
	Store     StoreID
	Kind      Kind
	Rewritten bool
	First     types.Seq // the run that the messages speak for: numbers in it
	Last      types.Seq // that no message has are done
	Records   []Record
	Delta     *Delta // nil: none
}

// Section tags.
const (
	sectionDictionary = 1
	sectionMessages   = 3
	sectionEnvelopes  = 4
	sectionDelta      = 5
	sectionBirths     = 6
	sectionReplays    = 8
)

// Message flags.
const (
	messageQoS        = 0b11
	messageRetain     = 1 << 2
	messageOrigin     = 1 << 3
	messageProperties = 1 << 4
	messageExpiry     = 1 << 5
	messageKnown      = messageQoS | messageRetain | messageOrigin | messageProperties | messageExpiry
)

// roomKept is how large the buffers of an Encoder may be, in bytes, that it keeps
// for the next batch.
const roomKept = 1 << 20

// Encoder writes batches. It keeps its buffers: what Encode returns is valid
// until its next call. The zero value is ready to use.
type Encoder struct {
	out, messages []byte
	scratch       []byte // for the dictionary, or a field of the delta
	strings       map[string]uint64
	order         []string
}

// Encode returns b as bytes. The seqs of its records must rise within
// First..Last, and the strings in it must not be longer than an entry.
func (e *Encoder) Encode(b *Batch) []byte {
	e.reset()
	h := Header{
		Major: Major, Kind: b.Kind, Store: b.Store, LSN: b.LSN,
		First: b.First, Last: b.Last, Count: uint32(len(b.Records)),
	}
	if b.Rewritten {
		h.Flags |= FlagRewritten
	}
	var header [HeaderSize]byte
	e.out = append(e.out[:0], header[:]...)
	if len(b.Records) > 0 {
		e.encodeMessages(b)
		e.encodeDictionary()
		e.out = append(e.out, sectionDictionary)
		e.out = appendSized(e.out, e.scratch)
		e.out = append(e.out, sectionMessages)
		e.out = appendSized(e.out, e.messages)
		if e.encodeEnvelopes(b) {
			h.Minor = 1
			e.out = append(e.out, sectionEnvelopes)
			e.out = appendSized(e.out, e.scratch)
		}
	}
	if b.Delta != nil {
		h.Flags |= FlagDelta
		h.Minor = max(h.Minor, b.Delta.minor())
		e.messages, e.scratch = b.Delta.encode(e.messages[:0], e.scratch)
		e.out = append(e.out, sectionDelta)
		e.out = appendSized(e.out, e.messages)
	}
	if e.encodeBirths(b) {
		h.Minor = 1
		e.out = append(e.out, sectionBirths)
		e.out = appendSized(e.out, e.scratch)
	}
	if e.encodeReplays(b) {
		h.Minor = 1
		e.out = append(e.out, sectionReplays)
		e.out = appendSized(e.out, e.scratch)
	}
	body := e.out[HeaderSize:]
	h.BodyLen, h.BodyCRC = uint32(len(body)), Checksum(body)
	h.put(e.out)
	return e.out
}

// reset forgets the last batch, and its buffers if they are large.
func (e *Encoder) reset() {
	if cap(e.out)+cap(e.messages) > 2*roomKept {
		e.out, e.messages = nil, nil
	}
	if e.strings == nil || len(e.order) > roomKept/256 {
		e.strings = make(map[string]uint64)
		e.order = nil
	}
	clear(e.strings)
	clear(e.order)
	e.order = e.order[:0]
}

// encodeMessages fills e.messages, and e.order with the strings it refers to.
func (e *Encoder) encodeMessages(b *Batch) {
	base := b.Records[0].Enqueued.UnixMilli()
	out := binary.AppendVarint(e.messages[:0], base)
	next := b.First
	for i := range b.Records {
		r := &b.Records[i]
		m := &r.Message
		out = binary.AppendUvarint(out, uint64(r.Seq-next))
		next = r.Seq + 1
		flags := byte(m.QoS) & messageQoS
		if m.Retain {
			flags |= messageRetain
		}
		if r.Origin.Source != "" {
			flags |= messageOrigin
		}
		if len(m.Properties) > 0 {
			flags |= messageProperties
		}
		if m.Expiry > 0 {
			flags |= messageExpiry
		}
		out = append(out, flags)
		out = binary.AppendUvarint(out, e.ref(m.Topic))
		out = binary.AppendVarint(out, r.Enqueued.UnixMilli()-base)
		if flags&messageOrigin != 0 {
			out = binary.AppendUvarint(out, e.ref(r.Origin.Source))
			out = binary.AppendUvarint(out, r.Origin.ID)
		}
		if flags&messageExpiry != 0 {
			out = binary.AppendUvarint(out, uint64((m.Expiry+time.Millisecond-1)/time.Millisecond))
		}
		if flags&messageProperties != 0 {
			out = appendSized(out, m.Properties)
		}
		out = appendSized(out, m.Payload)
	}
	e.messages = out
}

// ref returns the index of s in the dictionary, adding it if it is new.
func (e *Encoder) ref(s string) uint64 {
	i, ok := e.strings[s]
	if !ok {
		i = uint64(len(e.order))
		e.strings[s] = i
		e.order = append(e.order, s)
	}
	return i
}

// encodeDictionary fills e.scratch with the strings.
func (e *Encoder) encodeDictionary() {
	out := binary.AppendUvarint(e.scratch[:0], uint64(len(e.order)))
	for _, s := range e.order {
		out = binary.AppendUvarint(out, uint64(len(s)))
		out = append(out, s...)
	}
	e.scratch = out
}

// encodeEnvelopes fills e.scratch with the places of the messages that leave in
// an envelope, and says whether there are any.
func (e *Encoder) encodeEnvelopes(b *Batch) bool {
	out, next := e.scratch[:0], 0
	for i := range b.Records {
		if b.Records[i].Enveloped {
			out = binary.AppendUvarint(out, uint64(i-next))
			next = i + 1
		}
	}
	e.scratch = out
	return len(out) > 0
}

func appendSized(out, b []byte) []byte {
	return append(binary.AppendUvarint(out, uint64(len(b))), b...)
}
