package persistence

import (
	"encoding/binary"
	"fmt"
	"slices"

	"github.com/mqttdb/mqttdb/types"
)

// Delta is what an entry changes in the state of the queue. Numbers are
// absolute, sets are added to; in a KindState entry the sets are whole. Within
// its section it is a list of fields, each a tag, a length and that many bytes,
// all uvarints; as with sections an even tag may be skipped.
//
//	 1 next        uvarint seq of the next message
//	 3 floor       uvarint, all up to here are done
//	 5 removal     uvarint, all up to here may be gone from the log
//	 7 counters    uvarints: accepted, then one per types.Reason in its order;
//	               a later version may append more
//	 9 done        runs: per run uvarint first − previous last, uvarint length − 1
//	11 released    runs
//	13 abandoned   per run: as above, then the reason as one byte
//	15 marks       per mark: uvarint length, key, uvarint length, value
//	               (no value: the mark is removed)
//	17 flags       uvarint: 1 closed cleanly, 2 written without syncing each commit
//	19 suspect     uvarint seq: up to here messages may have been delivered before
//	 2 clock       uvarint Unix ms when it was written
//	 4 age         uvarint ms that the queue has been running for
type Delta struct {
	Next, Floor, Removal types.Seq
	Counters             Counters
	Done, Released       Ranges
	Abandoned            []Done
	Marks                []Mark
	Clean, Lazy          bool
	Suspect              types.Seq
	Clock, Age           uint64
}

// Field tags.
const (
	fieldNext      = 1
	fieldFloor     = 3
	fieldRemoval   = 5
	fieldCounters  = 7
	fieldDone      = 9
	fieldReleased  = 11
	fieldAbandoned = 13
	fieldMarks     = 15
	fieldFlags     = 17
	fieldSuspect   = 19
	fieldClock     = 2
	fieldAge       = 4
)

func (d *Delta) append(out []byte) []byte {
	var buf []byte
	field := func(tag uint64, b []byte) {
		if len(b) > 0 {
			out = appendSized(binary.AppendUvarint(out, tag), b)
		}
		buf = b[:0]
	}
	number := func(tag, n uint64) {
		if n != 0 {
			field(tag, binary.AppendUvarint(buf, n))
		}
	}
	number(fieldNext, uint64(d.Next))
	number(fieldFloor, uint64(d.Floor))
	number(fieldRemoval, uint64(d.Removal))
	b := binary.AppendUvarint(buf, d.Counters.Accepted)
	for _, n := range d.Counters.Left {
		b = binary.AppendUvarint(b, n)
	}
	field(fieldCounters, b)
	field(fieldDone, appendRuns(buf, d.Done))
	field(fieldReleased, appendRuns(buf, d.Released))
	field(fieldAbandoned, appendAbandoned(buf, d.Abandoned))
	b = buf
	for _, m := range d.Marks {
		b = binary.AppendUvarint(b, uint64(len(m.Key)))
		b = append(b, m.Key...)
		b = appendSized(b, m.Value)
	}
	field(fieldMarks, b)
	var flags uint64
	if d.Clean {
		flags |= 1
	}
	if d.Lazy {
		flags |= 2
	}
	number(fieldFlags, flags)
	number(fieldSuspect, uint64(d.Suspect))
	number(fieldClock, d.Clock)
	number(fieldAge, d.Age)
	return out
}

func appendRun(out []byte, r Range, previous types.Seq) []byte {
	out = binary.AppendUvarint(out, uint64(r.First-previous))
	return binary.AppendUvarint(out, uint64(r.Last-r.First))
}

func appendRuns(out []byte, rs Ranges) []byte {
	previous := types.Seq(0)
	for _, r := range rs {
		out = appendRun(out, r, previous)
		previous = r.Last
	}
	return out
}

func appendAbandoned(out []byte, ds []Done) []byte {
	previous := types.Seq(0)
	for _, d := range ds {
		out = append(appendRun(out, d.Range, previous), byte(d.Reason))
		previous = d.Range.Last
	}
	return out
}

func decodeDelta(b []byte) (*Delta, error) {
	d := &Delta{}
	r := reader{b: b}
	for len(r.b) > 0 && r.err == nil {
		tag := r.uvarint()
		f := reader{b: r.sized()}
		if r.err != nil {
			break
		}
		switch tag {
		case fieldNext:
			d.Next = types.Seq(f.uvarint())
		case fieldFloor:
			d.Floor = types.Seq(f.uvarint())
		case fieldRemoval:
			d.Removal = types.Seq(f.uvarint())
		case fieldCounters:
			d.Counters.Accepted = f.uvarint()
			for i := range d.Counters.Left {
				d.Counters.Left[i] = f.uvarint()
			}
			f.b = nil // a later version may have more
		case fieldDone:
			d.Done = f.runs()
		case fieldReleased:
			d.Released = f.runs()
		case fieldAbandoned:
			d.Abandoned = f.abandoned()
		case fieldMarks:
			for len(f.b) > 0 && f.err == nil {
				d.Marks = append(d.Marks, Mark{Key: string(f.sized()), Value: slices.Clone(f.sized())})
			}
		case fieldFlags:
			flags := f.uvarint()
			d.Clean, d.Lazy = flags&1 != 0, flags&2 != 0
		case fieldSuspect:
			d.Suspect = types.Seq(f.uvarint())
		case fieldClock:
			d.Clock = f.uvarint()
		case fieldAge:
			d.Age = f.uvarint()
		default:
			if tag%2 == 1 {
				return nil, fmt.Errorf("%w: unknown field %d", types.ErrNewerFormat, tag)
			}
			f.b = nil
		}
		if f.err != nil || len(f.b) > 0 {
			return nil, fmt.Errorf("%w: field %d of a delta", types.ErrCorrupt, tag)
		}
	}
	return d, r.err
}
