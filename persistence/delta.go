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
// all uvarints; as with sections the tags rise and an even one may be skipped.
//
//	 1 next        uvarint seq of the next message
//	 2 clock       uvarint Unix ms when it was written
//	 3 floor       uvarint, all up to here are done
//	 4 age         uvarint ms: what the age clock of the queue showed then
//	 5 removal     uvarint, all up to here may be gone from the log
//	 7 counters    uvarints: accepted, then one per types.Reason in its order;
//	               a later version may append more
//	 9 done        numbers, see appendSet
//	11 released    runs: per run uvarint first − previous last, uvarint length − 1
//	13 abandoned   per run: as above, then the reason as one byte
//	15 marks       per mark: uvarint length, key, uvarint length, value
//	               (no value: the mark is removed)
//	17 flags       uvarint: 1 closed cleanly, 2 written without syncing each commit
//	19 suspect     uvarint seq: up to here messages may have been delivered before
//	20 dead        dead letters, since version 1.1: uvarint count of texts, per
//	               text uvarint length, bytes; then per run: as above, then the
//	               text, an index
//	22 freed       runs: these are dead letters no longer; since version 1.1
//	24 withdrawn   runs: these are released no longer; since version 1.1
//	26 kept        numbers: they were sent, and are kept; since version 1.1
//	28 lapsed      runs: these are kept no longer; since version 1.1
//	30 expiring    uvarint seq: none above it, and below next, has an expiry; since
//	               version 1.1
//	32 compaction  uvarint bytes that were given back, uvarint Unix ms when compaction
//	               last came to an end; in KindState entries, since version 1.1
//
// A number that is 0 and a set that is empty are left out.
type Delta struct {
	Next, Floor, Removal types.Seq
	Clock, Age           uint64
	Counters             Counters
	Done                 Set
	Released             Ranges
	Abandoned            []Done // in order
	Marks                []Mark
	Clean, Lazy          bool
	Suspect              types.Seq
	Dead                 Letters // they have left, and are kept
	Freed                Ranges  // of earlier dead letters: not kept any longer
	Withdrawn            Ranges  // of those released: no longer
	Kept                 Set     // they were sent, and are kept
	Lapsed               Ranges  // of those kept: no longer
	Expiring             types.Seq
	Reclaimed, Compacted uint64 // bytes; Unix ms
}

// minor is the minor version of the format that an entry with d needs.
func (d *Delta) minor() uint8 {
	if d.Dead.Count() > 0 || len(d.Freed) > 0 || d.Kept.Count() > 0 || len(d.Lapsed) > 0 || len(d.Withdrawn) > 0 || d.Expiring > 0 || d.Compacted > 0 {
		return 1
	}
	return 0
}

// Field tags.
const (
	fieldNext      = 1
	fieldClock     = 2
	fieldFloor     = 3
	fieldAge       = 4
	fieldRemoval   = 5
	fieldCounters  = 7
	fieldDone      = 9
	fieldReleased  = 11
	fieldAbandoned = 13
	fieldMarks     = 15
	fieldFlags     = 17
	fieldSuspect   = 19
	fieldDead      = 20
	fieldFreed     = 22
	fieldWithdrawn = 24
	fieldKept      = 26
	fieldLapsed    = 28
	fieldExpiring  = 30
	fieldCompacted = 32
)

// fields writes the fields of a delta: each is put together in buf, so that its
// length is known.
type fields struct{ out, buf []byte }

func (f *fields) add(tag uint64, content []byte) {
	if len(content) > 0 {
		f.out = appendSized(binary.AppendUvarint(f.out, tag), content)
	}
	f.buf = content[:0]
}

func (f *fields) number(tag, n uint64) {
	if n != 0 {
		f.add(tag, binary.AppendUvarint(f.buf, n))
	}
}

// encode appends d to out; buf is room that it may use, and returns larger.
func (d *Delta) encode(out, buf []byte) (encoded, room []byte) {
	f := fields{out, buf[:0]}
	f.number(fieldNext, uint64(d.Next))
	f.number(fieldClock, d.Clock)
	f.number(fieldFloor, uint64(d.Floor))
	f.number(fieldAge, d.Age)
	f.number(fieldRemoval, uint64(d.Removal))
	b := binary.AppendUvarint(f.buf, d.Counters.Accepted)
	for _, n := range d.Counters.Left {
		b = binary.AppendUvarint(b, n)
	}
	f.add(fieldCounters, b)
	f.add(fieldDone, appendSet(f.buf, d.Done))
	f.add(fieldReleased, appendRuns(f.buf, d.Released))
	f.add(fieldAbandoned, appendAbandoned(f.buf, d.Abandoned))
	b = f.buf
	for _, m := range d.Marks {
		b = binary.AppendUvarint(b, uint64(len(m.Key)))
		b = append(b, m.Key...)
		b = appendSized(b, m.Value)
	}
	f.add(fieldMarks, b)
	var flags uint64
	if d.Clean {
		flags |= 1
	}
	if d.Lazy {
		flags |= 2
	}
	f.number(fieldFlags, flags)
	f.number(fieldSuspect, uint64(d.Suspect))
	f.add(fieldDead, appendLetters(f.buf, &d.Dead))
	f.add(fieldFreed, appendRuns(f.buf, d.Freed))
	f.add(fieldWithdrawn, appendRuns(f.buf, d.Withdrawn))
	f.add(fieldKept, appendSet(f.buf, d.Kept))
	f.add(fieldLapsed, appendRuns(f.buf, d.Lapsed))
	f.number(fieldExpiring, uint64(d.Expiring))
	if d.Compacted > 0 {
		f.add(fieldCompacted, binary.AppendUvarint(binary.AppendUvarint(f.buf, d.Reclaimed), d.Compacted))
	}
	return f.out, f.buf
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
	last := uint64(0)
	for len(r.b) > 0 {
		tag := r.tag(&last)
		f := reader{b: r.sized()}
		if r.err != nil {
			return nil, r.err
		}
		if !d.field(tag, &f) {
			if tag%2 == 1 {
				return nil, fmt.Errorf("%w: unknown field %d", types.ErrNewerFormat, tag)
			}
			continue
		}
		if f.err != nil {
			return nil, fmt.Errorf("field %d of a delta: %w", tag, f.err)
		}
		if len(f.b) > 0 {
			return nil, fmt.Errorf("%w: %d bytes too many in field %d of a delta", types.ErrCorrupt, len(f.b), tag)
		}
	}
	return d, nil
}

// field reads one field, if it is known.
func (d *Delta) field(tag uint64, f *reader) (known bool) {
	switch tag {
	case fieldNext:
		d.Next = f.seq()
	case fieldClock:
		d.Clock = f.uvarint()
	case fieldFloor:
		d.Floor = f.seq()
	case fieldAge:
		d.Age = f.uvarint()
	case fieldRemoval:
		d.Removal = f.seq()
	case fieldCounters:
		d.Counters.Accepted = f.uvarint()
		for i := range d.Counters.Left {
			d.Counters.Left[i] = f.uvarint()
		}
		f.b = nil // a later version may have more
	case fieldDone:
		d.Done = f.set()
	case fieldReleased:
		d.Released = f.runs()
	case fieldAbandoned:
		d.Abandoned = f.abandoned()
	case fieldMarks:
		d.Marks = f.marks()
	case fieldFlags:
		flags := f.uvarint()
		d.Clean, d.Lazy = flags&1 != 0, flags&2 != 0
	case fieldSuspect:
		d.Suspect = f.seq()
	case fieldDead:
		d.Dead = f.letters()
	case fieldFreed:
		d.Freed = f.runs()
	case fieldWithdrawn:
		d.Withdrawn = f.runs()
	case fieldKept:
		d.Kept = f.set()
	case fieldLapsed:
		d.Lapsed = f.runs()
	case fieldExpiring:
		d.Expiring = f.seq()
	case fieldCompacted:
		d.Reclaimed, d.Compacted = f.uvarint(), f.uvarint()
	default:
		return false
	}
	return true
}

// run reads a run that begins above previous.
func (r *reader) run(previous types.Seq) Range {
	gap, more := r.uvarint(), r.uvarint()
	if gap == 0 || gap > uint64(maxSeq-previous) || more > uint64(maxSeq-previous)-gap {
		r.fail("a run of numbers")
		return Range{}
	}
	first := previous + types.Seq(gap)
	return Range{first, first + types.Seq(more)}
}

func (r *reader) runs() Ranges {
	var out Ranges
	previous := types.Seq(0)
	for len(r.b) > 0 {
		run := r.run(previous)
		if r.err != nil {
			return nil
		}
		out.Add(run)
		previous = run.Last
	}
	return out
}

func (r *reader) abandoned() []Done {
	var out []Done
	previous := types.Seq(0)
	for len(r.b) > 0 {
		run := r.run(previous)
		reason := types.Reason(r.byte())
		if r.err != nil {
			return nil
		}
		if int(reason) >= types.Reasons {
			reason = types.Dropped // a later version knows more of them
		}
		out = append(out, Done{Range: run, Reason: reason})
		previous = run.Last
	}
	return out
}

func (r *reader) marks() []Mark {
	n := 0
	for ahead := *r; len(ahead.b) > 0; n++ {
		ahead.sized()
		ahead.sized()
	}
	out := make([]Mark, n)
	for i := range out {
		out[i] = Mark{Key: string(r.sized()), Value: slices.Clone(r.sized())}
	}
	return out
}
