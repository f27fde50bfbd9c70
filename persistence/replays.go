package persistence

import (
	"encoding/binary"
	"time"
)

// encodeReplays fills e.scratch with the places of the messages that are replays,
// and with when they were first accepted, and says whether there are any.
func (e *Encoder) encodeReplays(b *Batch) bool {
	out, next := e.scratch[:0], 0
	for i := range b.Records {
		r := &b.Records[i]
		if r.Original.IsZero() {
			continue
		}
		out = binary.AppendUvarint(out, uint64(i-next))
		out = binary.AppendVarint(out, r.Enqueued.UnixMilli()-r.Original.UnixMilli())
		next = i + 1
	}
	e.scratch = out
	return len(out) > 0
}

// replays marks the messages that are replays.
func (r *reader) replays(of []Record) {
	for len(r.b) > 0 {
		gap, waited := r.uvarint(), r.varint()
		if gap >= uint64(len(of)) {
			r.fail("a replay of no message")
			return
		}
		of[gap].Original = time.UnixMilli(of[gap].Enqueued.UnixMilli() - waited)
		of = of[gap+1:]
	}
}
