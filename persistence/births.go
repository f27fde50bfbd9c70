package persistence

import (
	"encoding/binary"
	"math"
)

// encodeBirths fills e.scratch with when, on the age clock of the queue, the
// messages were accepted, and says whether that is known of any. While nobody sets
// the wall clock it goes as fast as the other, so that a few bytes stand for all.
func (e *Encoder) encodeBirths(b *Batch) bool {
	out, any := e.scratch[:0], false
	epoch := int64(0)
	for i := 0; i < len(b.Records); {
		own, known := b.Records[i].epoch()
		n := 1
		for i+n < len(b.Records) {
			if other, also := b.Records[i+n].epoch(); other != own || also != known {
				break
			}
			n++
		}
		if !known {
			out = binary.AppendUvarint(out, uint64(n)<<1)
		} else {
			out = binary.AppendVarint(binary.AppendUvarint(out, uint64(n)<<1|1), own-epoch)
			epoch, any = own, true
		}
		i += n
	}
	e.scratch = out
	return any
}

// epoch is what the wall clock showed, or would have, when the age clock was 0: Unix
// ms.
func (r *Record) epoch() (ms int64, known bool) {
	if r.Born == 0 {
		return 0, false
	}
	return r.Enqueued.UnixMilli() - int64(r.Born), true
}

// births fills in when the messages were accepted.
func (r *reader) births(of []Record) {
	epoch := int64(0)
	for len(r.b) > 0 {
		run := r.uvarint()
		n := run >> 1
		if n == 0 || n > uint64(len(of)) {
			r.fail("a birth of no message")
			return
		}
		if run&1 != 0 {
			epoch += r.varint()
			for i := range of[:n] {
				if born := of[i].Enqueued.UnixMilli() - epoch; born > 0 && born < math.MaxInt64/2 {
					of[i].Born = uint64(born)
				}
			}
		}
		of = of[n:]
	}
}
