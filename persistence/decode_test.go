package persistence

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/mqttdb/mqttdb/types"
)

// repair makes the lengths and checksums of an entry right, so that what lies
// behind them is looked at.
func repair(b []byte) []byte {
	if len(b) < HeaderSize {
		b = append(b, make([]byte, HeaderSize-len(b))...)
	}
	copy(b, Magic)
	le := binary.LittleEndian
	le.PutUint32(b[52:], uint32(len(b)-HeaderSize))
	le.PutUint32(b[56:], Checksum(b[HeaderSize:]))
	le.PutUint32(b[60:], Checksum(b[:60]))
	return b
}

// entryOf is an entry with that body.
func entryOf(count uint32, flags uint8, body ...byte) []byte {
	h := Header{Major: Major, Minor: Minor, Kind: KindBatch, Flags: flags, Store: goldenStore, LSN: 5, Count: count}
	if count > 0 {
		h.First, h.Last = 10, 19
	}
	b := make([]byte, HeaderSize, HeaderSize+len(body))
	h.put(b)
	return repair(append(b, body...))
}

// section and field are a tag, a length and the content.
func section(tag byte, content ...byte) []byte {
	return append([]byte{tag, byte(len(content))}, content...)
}

func TestDecodeErrors(t *testing.T) {
	dictionary := section(sectionDictionary, 1, 1, 'a')
	message := []byte{0, 1, 0, 0, 1, 'x'} // gap, flags, topic, time, payload
	body := func(parts ...[]byte) []byte { return bytes.Join(parts, nil) }
	messages := func(m ...byte) []byte { return body(dictionary, section(sectionMessages, append([]byte{0}, m...)...)) }
	delta := func(fields ...byte) []byte { return section(sectionDelta, fields...) }
	header := func(change func(b []byte)) []byte {
		b := entryOf(1, 0, messages(message...)...)
		change(b)
		return repair(b)
	}
	for _, c := range []struct {
		name  string
		entry []byte
		want  error
		text  string
	}{
		{"nothing", nil, types.ErrCorrupt, "no entry header"},
		{"cut in the header", entryOf(0, 0)[:63], types.ErrCorrupt, "no entry header"},
		{"no magic", append([]byte("MQBX"), entryOf(0, 0)[4:]...), types.ErrCorrupt, "no entry header"},
		{"a bit of the header", flip(entryOf(0, 0), 30), types.ErrCorrupt, "checksum of the header"},
		{"a bit of the body", flip(entryOf(1, 0, messages(message...)...), HeaderSize+3), types.ErrCorrupt, "checksum of the body"},
		{"cut in the body", entryOf(1, 0, messages(message...)...)[:HeaderSize+2], types.ErrCorrupt, "instead of"},
		{"bytes behind the body", append(entryOf(1, 0, messages(message...)...), 0), types.ErrCorrupt, "instead of"},
		{"a newer major version", header(func(b []byte) { b[4] = Major + 1 }), types.ErrNewerFormat, "reads up to"},
		{"version 0", header(func(b []byte) { b[4] = 0 }), types.ErrCorrupt, "version 0"},
		{"an unknown kind", header(func(b []byte) { b[6] = 3 }), types.ErrCorrupt, "kind 3"},
		{"compressed", header(func(b []byte) { b[7] |= 1 }), types.ErrCorrupt, "flags"},
		{"encrypted", header(func(b []byte) { b[7] |= 4 }), types.ErrCorrupt, "flags"},
		{"a state with messages", header(func(b []byte) { b[6], b[7] = byte(KindState), FlagDelta }), types.ErrCorrupt, "a state"},
		{"a state without a delta", header(func(b []byte) { b[6] = byte(KindState) }), types.ErrCorrupt, "a state"},
		{"last before first", header(func(b []byte) { b[40] = 9 }), types.ErrCorrupt, "numbers 10 to 9"},
		{"numbers without messages", header(func(b []byte) { b[48] = 0 }), types.ErrCorrupt, "with 0 messages"},
		{"messages without numbers", header(func(b []byte) { b[32], b[40] = 0, 0 }), types.ErrCorrupt, "numbers 0 to 0"},
		{"more messages than numbers", header(func(b []byte) { b[48] = 11 }), types.ErrCorrupt, "11 messages in numbers"},
		{"a number out of range", header(func(b []byte) { b[47] = 0xff }), types.ErrCorrupt, "numbers"},
		{"fewer messages than the header says", entryOf(1, 0), types.ErrCorrupt, "what the header says"},
		{"no delta where the header has one", entryOf(0, FlagDelta), types.ErrCorrupt, "what the header says"},
		{"a delta where the header has none", entryOf(0, 0, delta()...), types.ErrCorrupt, "what the header says"},
		{"a section cut off", entryOf(0, 0, 1, 5, 0), types.ErrCorrupt, "past the end"},
		{"a tag cut off", entryOf(0, 0, 0x80), types.ErrCorrupt, "cut off"},
		{"a number of 11 bytes", entryOf(0, 0, bytes.Repeat([]byte{0xff}, 11)...), types.ErrCorrupt, "cut off"},
		{"sections out of order", entryOf(1, 0, body(section(sectionMessages, 0), dictionary)...), types.ErrCorrupt, "more messages than"},
		{"a section twice", entryOf(0, 0, body(dictionary, dictionary)...), types.ErrCorrupt, "out of order"},
		{"an unknown section", entryOf(0, 0, section(7)...), types.ErrNewerFormat, "unknown section 7"},
		{"a dictionary that is too long", entryOf(0, 0, section(sectionDictionary, 9, 1, 'a')...), types.ErrCorrupt, "larger than its section"},
		{"bytes behind the dictionary", entryOf(0, 0, section(sectionDictionary, 0, 1)...), types.ErrCorrupt, "too many"},
		{"a string past the end", entryOf(0, 0, section(sectionDictionary, 1, 2, 'a')...), types.ErrCorrupt, "past the end"},
		{"a topic not in the dictionary", entryOf(1, 0, messages(0, 1, 1, 0, 0)...), types.ErrCorrupt, "not in the dictionary"},
		{"QoS 3", entryOf(1, 0, messages(0, 3, 0, 0, 0)...), types.ErrCorrupt, "flags of a message"},
		{"an unknown flag", entryOf(1, 0, messages(0, 1<<6, 0, 0, 0)...), types.ErrCorrupt, "flags of a message"},
		{"a number outside", entryOf(1, 0, messages(10, 1, 0, 0, 0)...), types.ErrCorrupt, "outside of its batch"},
		{"a second number outside", entryOf(2, 0, messages(9, 1, 0, 0, 0, 0, 1, 0, 0, 0)...), types.ErrCorrupt, "more messages than numbers"},
		{"a payload past the end", entryOf(1, 0, messages(0, 1, 0, 0, 9, 'x')...), types.ErrCorrupt, "past the end"},
		{"bytes behind the messages", entryOf(1, 0, messages(append(message, 0)...)...), types.ErrCorrupt, "too many"},
		{"an expiry out of range", entryOf(1, 0, messages(append([]byte{0, messageExpiry, 0, 0}, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1, 0)...)...), types.ErrCorrupt, "expiry"},
		{"a field cut off", entryOf(0, FlagDelta, delta(fieldNext, 2, 1)...), types.ErrCorrupt, "past the end"},
		{"fields out of order", entryOf(0, FlagDelta, delta(fieldFloor, 1, 1, fieldNext, 1, 1)...), types.ErrCorrupt, "out of order"},
		{"an unknown field", entryOf(0, FlagDelta, delta(21, 0)...), types.ErrNewerFormat, "unknown field 21"},
		{"bytes behind a field", entryOf(0, FlagDelta, delta(fieldNext, 2, 1, 1)...), types.ErrCorrupt, "too many"},
		{"counters cut off", entryOf(0, FlagDelta, delta(fieldCounters, 2, 1, 1)...), types.ErrCorrupt, "field 7"},
		{"a next out of range", entryOf(0, FlagDelta, delta(fieldNext, 10, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1)...), types.ErrCorrupt, "out of range"},
		{"a run of number 0", entryOf(0, FlagDelta, delta(fieldReleased, 2, 0, 0)...), types.ErrCorrupt, "run of numbers"},
		{"a run out of range", entryOf(0, FlagDelta, delta(fieldReleased, 11, 1, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1)...), types.ErrCorrupt, "run of numbers"},
		{"done number 0", entryOf(0, FlagDelta, delta(fieldDone, 2, 0, 0)...), types.ErrCorrupt, "out of range"},
		{"done numbers out of range", entryOf(0, FlagDelta, delta(fieldDone, 11, 1, 0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1)...), types.ErrCorrupt, "out of range"},
		{"a bitmap cut off", entryOf(0, FlagDelta, delta(fieldDone, 4, 0, 1, 2, 3)...), types.ErrCorrupt, "past the end"},
		{"abandoned without a reason", entryOf(0, FlagDelta, delta(fieldAbandoned, 2, 1, 0)...), types.ErrCorrupt, "cut off"},
		{"a mark without a value", entryOf(0, FlagDelta, delta(fieldMarks, 2, 1, 'k')...), types.ErrCorrupt, "cut off"},
	} {
		t.Run(c.name, func(t *testing.T) {
			b, err := Decode(c.entry)
			if !errors.Is(err, c.want) || b != nil {
				t.Fatalf("%v, want one that wraps %q", err, c.want)
			}
			if !strings.Contains(err.Error(), c.text) {
				t.Errorf("%q does not say %q", err, c.text)
			}
		})
	}
}

func flip(b []byte, i int) []byte {
	b = bytes.Clone(b)
	b[i] ^= 0x10
	return b
}

// What a later minor version adds may be skipped.
func TestDecodeSkipsWhatItMay(t *testing.T) {
	b := entryOf(0, FlagDelta, bytes.Join([][]byte{
		section(2, 1, 2, 3),
		section(sectionDelta, fieldNext, 1, 7, 6, 2, 8, 8, fieldCounters, 8, 7, 1, 2, 3, 0, 0, 1, 99, fieldAbandoned, 3, 1, 0, 200),
		section(100),
	}, nil)...)
	b[5] = Minor + 1
	got, err := Decode(repair(b))
	if err != nil {
		t.Fatal(err)
	}
	if d := got.Delta; d.Next != 7 || d.Counters.Accepted != 7 || d.Counters.Left != [types.Reasons]uint64{1, 2, 3, 0, 0, 1} {
		t.Errorf("it reads as %+v", d)
	}
	if a := got.Delta.Abandoned; len(a) != 1 || int(a[0].Reason) >= types.Reasons {
		t.Errorf("a reason that is not known yet reads as %v", a)
	}
}

func TestDecodeStoreRecordErrors(t *testing.T) {
	good := EncodeStoreRecord(goldenStore)
	newer := bytes.Clone(good)
	newer[4]++
	binary.LittleEndian.PutUint32(newer[28:], Checksum(newer[:28]))
	for _, c := range []struct {
		name   string
		record []byte
		want   error
	}{
		{"good", good, nil},
		{"with something behind it", append(bytes.Clone(good), 1, 2), nil},
		{"empty", nil, types.ErrCorrupt},
		{"cut off", good[:31], types.ErrCorrupt},
		{"a flipped bit", flip(good, 9), types.ErrCorrupt},
		{"another file", []byte("MQDX" + string(good[4:])), types.ErrCorrupt},
		{"newer", newer, types.ErrNewerFormat},
	} {
		if _, err := DecodeStoreRecord(c.record); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", c.name, err, c.want)
		}
	}
}

// randomBatch makes a batch with a bit of everything.
func randomBatch(r *rand.Rand) *Batch {
	b := &Batch{LSN: r.Uint64N(1 << 40), Store: StoreID{byte(r.Uint32())}, Kind: KindBatch, Rewritten: r.IntN(2) == 0}
	text := func(n int) string {
		out := make([]byte, r.IntN(n))
		for i := range out {
			out[i] = byte(r.Uint32())
		}
		return string(out)
	}
	if n := r.IntN(20); n > 0 {
		b.First = 1 + types.Seq(r.Uint64N(1<<50))
		seq := b.First
		for range n {
			seq += types.Seq(r.IntN(3) * r.IntN(1000))
			rec := Record{Seq: seq, Entry: Entry{Enqueued: time.UnixMilli(r.Int64N(1<<42) - 1<<41)}}
			rec.Message = types.Message{Topic: text(12), Payload: []byte(text(50)), QoS: types.QoS(r.IntN(3)), Retain: r.IntN(2) == 0}
			if r.IntN(3) == 0 {
				rec.Message.Expiry = time.Duration(1+r.IntN(1e6)) * time.Millisecond
				rec.Message.Properties = []byte("p" + text(9))
				rec.Origin = types.Origin{Source: "s" + text(9), ID: r.Uint64()}
			}
			b.Records = append(b.Records, rec)
			seq++
		}
		b.Last = seq - 1 + types.Seq(r.IntN(2)*r.IntN(100))
	}
	if r.IntN(2) == 0 || len(b.Records) == 0 {
		d := &Delta{Next: types.Seq(r.Uint64N(1 << 60)), Floor: types.Seq(r.Uint64N(1 << 50)), Clock: r.Uint64(), Age: r.Uint64N(3), Suspect: types.Seq(r.IntN(3))}
		d.Counters.Accepted = r.Uint64()
		d.Counters.Left[r.IntN(types.Reasons)] = r.Uint64()
		next := types.Seq(1)
		for range r.IntN(400) {
			first := next + types.Seq(r.IntN(1<<r.IntN(12)))
			next = first + types.Seq(r.IntN(1<<r.IntN(20))) + 2
			d.Done.Add(Range{first, next - 2})
			if r.IntN(4) == 0 {
				d.Released.Add(Range{first, first})
				d.Abandoned = append(d.Abandoned, Done{Range: Range{first, next - 2}, Reason: types.Reason(r.IntN(types.Reasons))})
			}
			if r.IntN(8) == 0 {
				d.Dead.Add(Range{first, next - 2}, text(3))
			}
			if r.IntN(8) == 0 {
				d.Freed.Add(Range{first, next - 2})
			}
		}
		if r.IntN(3) == 0 {
			for range 600 { // so scattered that it becomes a bitmap
				d.Done.Add(Range{next, next})
				next += 2
			}
		}
		for range r.IntN(4) {
			d.Marks = append(d.Marks, Mark{Key: text(20), Value: []byte(text(20))})
		}
		d.Clean, d.Lazy = r.IntN(2) == 0, r.IntN(2) == 0
		b.Delta = d
		if len(b.Records) == 0 && r.IntN(3) == 0 {
			b.Kind, b.Rewritten = KindState, false
		}
	}
	return b
}

// Everything comes back as it was, and encodes to the same bytes again. One
// encoder serves all.
func TestRoundTrip(t *testing.T) {
	var e, again Encoder
	for seed := range uint64(500) {
		b := randomBatch(rand.New(rand.NewPCG(seed, 5)))
		encoded := bytes.Clone(e.Encode(b))
		got, err := Decode(bytes.Clone(encoded))
		if err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		if dump(got) != dump(b) {
			t.Fatalf("seed %d: it reads as\n%s\nit was\n%s", seed, dump(got), dump(b))
		}
		if !bytes.Equal(again.Encode(got), encoded) {
			t.Fatalf("seed %d: encoded again it differs", seed)
		}
	}
}

// No single flipped bit goes unnoticed.
func TestEachBitCounts(t *testing.T) {
	var e Encoder
	good := bytes.Clone(e.Encode(goldenEntries()["messages-and-delta"]))
	for i := range 8 * len(good) {
		bad := bytes.Clone(good)
		bad[i/8] ^= 1 << (i % 8)
		if _, err := Decode(bad); !errors.Is(err, types.ErrCorrupt) {
			t.Fatalf("bit %d: %v", i, err)
		}
	}
}

// Hostile entries with right checksums cannot make decoding allocate more than
// a multiple of what they hold.
func TestDecodeAllocates(t *testing.T) {
	const size = 1 << 18
	fill := func(unit ...byte) []byte { return bytes.Repeat(unit, size/len(unit)) }
	sized := func(tag byte, content []byte) []byte { return appendSized([]byte{tag}, content) }
	var bitmaps []byte
	for range size / 2048 {
		bitmaps = append(bitmaps, 0, 1)
		bitmaps = append(bitmaps, make([]byte, 2047)...)
		bitmaps = append(bitmaps, 1)
	}
	header := func(count uint32, last types.Seq, flags uint8, body []byte) []byte {
		h := Header{Major: Major, Kind: KindBatch, Flags: flags, LSN: 1, Count: count}
		if count > 0 {
			h.First, h.Last = 1, last
		}
		b := make([]byte, HeaderSize)
		h.put(b)
		return repair(append(b, body...))
	}
	n := uint32(size / 5)
	many := append([]byte{0}, bytes.Repeat([]byte{0, 0, 0, 0, 0}, int(n))...)
	for name, entry := range map[string][]byte{
		"empty strings":            header(0, 0, 0, sized(sectionDictionary, append(binary.AppendUvarint(nil, size), fill(0)...))),
		"a dictionary of billions": header(0, 0, 0, sized(sectionDictionary, binary.AppendUvarint(nil, 1<<40))),
		"small messages":           header(n, types.Seq(n), 0, append(sized(sectionDictionary, []byte{1, 0}), sized(sectionMessages, many)...)),
		"billions of messages":     header(1<<32-1, 1<<40, 0, append(sized(sectionDictionary, []byte{1, 0}), sized(sectionMessages, many)...)),
		"done runs":                header(0, 0, FlagDelta, sized(sectionDelta, sized(fieldDone, fill(2, 0)))),
		"done runs far apart":      header(0, 0, FlagDelta, sized(sectionDelta, sized(fieldDone, fill(0x80, 0x80, 1, 0)))),
		"done for ever":            header(0, 0, FlagDelta, sized(sectionDelta, sized(fieldDone, binary.AppendUvarint([]byte{1}, 1<<62)))),
		"bitmaps":                  header(0, 0, FlagDelta, sized(sectionDelta, sized(fieldDone, bitmaps))),
		"released runs":            header(0, 0, FlagDelta, sized(sectionDelta, sized(fieldReleased, fill(2, 0)))),
		"abandoned runs":           header(0, 0, FlagDelta, sized(sectionDelta, sized(fieldAbandoned, fill(2, 0, 0)))),
		"empty marks":              header(0, 0, FlagDelta, sized(sectionDelta, sized(fieldMarks, fill(0, 0)))),
	} {
		t.Run(name, func(t *testing.T) {
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			b, err := Decode(entry)
			runtime.ReadMemStats(&after)
			if got, most := after.TotalAlloc-before.TotalAlloc, uint64(100*len(entry)+64<<10); got > most {
				t.Errorf("%d bytes allocated for %d (%v)", got, len(entry), err)
			}
			runtime.KeepAlive(b)
		})
	}
}

func FuzzDecode(f *testing.F) {
	for _, b := range goldenFiles(f) {
		f.Add(b)
	}
	f.Add(entryOf(1, 0, 1, 2, 1, 0, 3, 6, 0, 0, 1, 0, 0, 0))
	f.Fuzz(func(t *testing.T, b []byte) {
		if _, err := Decode(bytes.Clone(b)); err != nil && !known(err) {
			t.Fatal(err)
		}
		got, err := Decode(repair(bytes.Clone(b)))
		if err != nil {
			if !known(err) || got != nil {
				t.Fatal(err)
			}
			return
		}
		var e Encoder
		again, err := Decode(e.Encode(got))
		if err != nil || dump(again) != dump(got) {
			t.Fatalf("%v: encoded and read again it is\n%s\nit was\n%s", err, dump(again), dump(got))
		}
	})
}

func FuzzDecodeHeader(f *testing.F) {
	for _, b := range goldenFiles(f) {
		f.Add(b[:HeaderSize])
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if _, err := DecodeHeader(b); err != nil && !known(err) {
			t.Fatal(err)
		}
		if len(b) < HeaderSize {
			return
		}
		b = bytes.Clone(b[:HeaderSize])
		copy(b, Magic)
		binary.LittleEndian.PutUint32(b[60:], Checksum(b[:60]))
		h, err := DecodeHeader(b)
		if err != nil {
			if !known(err) {
				t.Fatal(err)
			}
			return
		}
		again := make([]byte, HeaderSize)
		if h.put(again); !bytes.Equal(again, b) {
			t.Fatalf("%x becomes %x", b, again)
		}
	})
}

func FuzzDecodeDelta(f *testing.F) {
	for _, b := range goldenEntries() {
		if b.Delta != nil {
			encoded, _ := b.Delta.encode(nil, nil)
			f.Add(encoded)
		}
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		d, err := decodeDelta(b)
		if err != nil {
			if !known(err) {
				t.Fatal(err)
			}
			return
		}
		encoded, _ := d.encode(nil, nil)
		again, err := decodeDelta(encoded)
		if err != nil || dump(&Batch{Delta: again}) != dump(&Batch{Delta: d}) {
			t.Fatalf("%v: encoded and read again it is %+v, it was %+v", err, again, d)
		}
		for r := range d.Done.All() {
			if r.First == 0 || r.Last > maxSeq {
				t.Fatalf("a run %v", r)
			}
		}
	})
}

func FuzzDecodeStoreRecord(f *testing.F) {
	f.Add(EncodeStoreRecord(goldenStore))
	f.Fuzz(func(t *testing.T, b []byte) {
		if _, err := DecodeStoreRecord(b); err != nil && !known(err) {
			t.Fatal(err)
		}
	})
}

// goldenFiles are the entries in testdata.
func goldenFiles(f *testing.F) [][]byte {
	names, err := filepath.Glob("testdata/golden/*.bin")
	if err != nil || len(names) == 0 {
		f.Fatalf("no golden files: %v", err)
	}
	var out [][]byte
	for _, name := range names {
		b, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		if len(b) >= HeaderSize {
			out = append(out, b)
		}
	}
	return out
}

func known(err error) bool {
	return errors.Is(err, types.ErrCorrupt) || errors.Is(err, types.ErrNewerFormat)
}
