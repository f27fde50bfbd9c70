package persistence

import (
	"bytes"
	"encoding/hex"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/mqttdb/mqttdb/types"
)

var update = flag.Bool("update", false, "write the golden files anew")

var goldenStore = StoreID{0: 0x10, 15: 0x1f}

// goldenEntries are entries with everything that version 1.0 writes, and behind
// them what version 1.1 added. Their files are never changed: each version reads
// them for ever (S7.5).
func goldenEntries() map[string]*Batch {
	at := func(ms int64) time.Time { return time.UnixMilli(1_700_000_000_000 + ms) }
	all := make([]byte, 256)
	for i := range all {
		all[i] = byte(i)
	}
	var scattered Set
	scattered.Add(Range{103, 110})
	scattered.Add(Range{1 << 15, 1 << 16})
	for s := types.Seq(1 << 17); s < 1<<17+1000; s += 2 {
		scattered.Add(Range{s, s})
	}
	var few Set
	few.Add(Range{1, 3})
	few.Add(Range{7, 7})
	return map[string]*Batch{
		"messages": {
			LSN: 17, Store: goldenStore, Kind: KindBatch, First: 1000, Last: 1005,
			Records: []Record{
				{Seq: 1000, Entry: Entry{Message: types.Message{Topic: "a"}, Enqueued: at(0)}},
				{Seq: 1001, Entry: Entry{Message: types.Message{Topic: "plant/ä/€", Payload: all, QoS: 1}, Enqueued: at(5)}},
				{Seq: 1002, Entry: Entry{Message: types.Message{Topic: "a", Payload: []byte("kept"), QoS: 2, Retain: true}, Enqueued: at(-3)}},
				{Seq: 1003, Entry: Entry{Message: types.Message{Topic: "v5", Payload: []byte{0}, Expiry: 90 * time.Second, Properties: []byte{3, 0, 1, 'x'}}, Enqueued: at(9)}},
				{Seq: 1004, Entry: Entry{Message: types.Message{Topic: "a", Payload: []byte(Magic), QoS: 2}, Origin: types.Origin{Source: "client:x", ID: 1<<64 - 1}, Enqueued: at(9)}},
				{Seq: 1005, Entry: Entry{Message: types.Message{Topic: "client:x", QoS: 1}, Origin: types.Origin{Source: "client:x", ID: 7}, Enqueued: time.UnixMilli(-1)}},
			},
		},
		"rewritten": {
			LSN: 18, Store: goldenStore, Kind: KindBatch, Rewritten: true, First: 1, Last: 500,
			Records: []Record{
				{Seq: 3, Entry: Entry{Message: types.Message{Topic: "a", Payload: []byte("three")}, Enqueued: at(0)}},
				{Seq: 400, Entry: Entry{Message: types.Message{Topic: "a", Payload: []byte("four hundred")}, Enqueued: at(60_000)}},
			},
		},
		"envelopes": {
			LSN: 26, Store: goldenStore, Kind: KindBatch, First: 10, Last: 13,
			Records: []Record{
				{Seq: 10, Entry: Entry{Message: types.Message{Topic: "a"}, Enqueued: at(0), Enveloped: true}},
				{Seq: 11, Entry: Entry{Message: types.Message{Topic: "a"}, Enqueued: at(0)}},
				{Seq: 12, Entry: Entry{Message: types.Message{Topic: "a"}, Enqueued: at(0)}},
				{Seq: 13, Entry: Entry{Message: types.Message{Topic: "a", QoS: 1}, Enqueued: at(0), Enveloped: true}},
			},
		},
		"births": {
			LSN: 28, Store: goldenStore, Kind: KindBatch, Rewritten: true, First: 10, Last: 15,
			Records: []Record{
				{Seq: 10, Entry: Entry{Message: types.Message{Topic: "a"}, Enqueued: at(0)}, Born: 3_000_000_000},
				{Seq: 11, Entry: Entry{Message: types.Message{Topic: "a"}, Enqueued: at(7)}, Born: 3_000_000_007},
				{Seq: 12, Entry: Entry{Message: types.Message{Topic: "a"}, Enqueued: at(8)}},
				{Seq: 13, Entry: Entry{Message: types.Message{Topic: "a"}, Enqueued: at(-3_600_000)}, Born: 3_000_000_010},
				{Seq: 15, Entry: Entry{Message: types.Message{Topic: "a"}, Enqueued: at(-3_600_000)}, Born: 3_000_000_010},
			},
		},
		"expiring":   {LSN: 29, Store: goldenStore, Kind: KindBatch, Delta: &Delta{Next: 1008, Floor: 10, Removal: 10, Age: 2_592_000_000, Expiring: 15}},
		"compaction": {LSN: 30, Store: goldenStore, Kind: KindState, Delta: &Delta{Next: 1008, Floor: 10, Removal: 10, Age: 2_592_000_000, Reclaimed: 8 << 30, Compacted: 1_700_000_000_000}},
		"delta": {
			LSN: 19, Store: goldenStore, Kind: KindBatch,
			Delta: &Delta{
				Next: 1006, Floor: 5, Removal: 5, Clock: 1_700_000_000_123,
				Counters: Counters{Accepted: 1005, Left: [types.Reasons]uint64{types.Sent: 5, types.Cleared: 4}},
				Done:     few, Released: Ranges{{1002, 1002}, {1004, 1004}},
				Abandoned: []Done{{Range: Range{1000, 1001}, Reason: types.Expired}, {Range: Range{1002, 1002}, Reason: types.Cleared}},
				Marks:     []Mark{{Key: "session", Value: []byte{1, 2, 3}}, {Key: "gone"}},
			},
		},
		"messages-and-delta": {
			LSN: 20, Store: goldenStore, Kind: KindBatch, First: 1006, Last: 1006,
			Records: []Record{{Seq: 1006, Entry: Entry{Message: types.Message{Topic: "a", Payload: []byte("x"), QoS: 1}, Enqueued: at(1)}}},
			Delta:   &Delta{Next: 1007, Floor: 6, Removal: 6, Counters: Counters{Accepted: 1006, Left: [types.Reasons]uint64{types.Sent: 6}}},
		},
		"state": {
			LSN: 21, Store: goldenStore, Kind: KindState,
			Delta: &Delta{
				Next: 1 << 18, Floor: 101, Removal: 90, Clock: 1_700_000_000_456, Age: 3_600_000,
				Counters: Counters{Accepted: 1 << 18, Left: [types.Reasons]uint64{1, 2, 3, 4, 5, 6}},
				Done:     scattered, Released: Ranges{{200, 210}},
				Abandoned: []Done{{Range: Range{205, 220}, Reason: types.Dropped}},
				Marks:     []Mark{{Key: "client_id", Value: []byte("mqttdb-plant-0123abcd")}, {Key: "tombstone/7", Value: []byte{0}}},
				Clean:     true, Lazy: true, Suspect: 250,
			},
		},
		"dead": {
			LSN: 22, Store: goldenStore, Kind: KindBatch, First: 1007, Last: 1007,
			Records: []Record{{Seq: 1007, Entry: Entry{Message: types.Message{Topic: "a", Payload: []byte("again"), QoS: 1}, Enqueued: at(2)}}},
			Delta: &Delta{
				Next: 1008, Floor: 9, Removal: 9, Counters: Counters{Accepted: 1007, Left: [types.Reasons]uint64{types.Sent: 6, types.Dead: 3}},
				Done: few, Dead: letters(Letter{Range{7, 8}, "the broker ended 10 links with it first in line"}, Letter{Range{12, 12}, ""}), Freed: Ranges{{2, 2}, {5, 6}},
			},
		},
		"dead-state": {
			LSN: 23, Store: goldenStore, Kind: KindState,
			Delta: &Delta{
				Next: 1008, Floor: 101, Removal: 101, Counters: Counters{Accepted: 1007, Left: [types.Reasons]uint64{types.Dead: 5}},
				Dead: letters(Letter{Range{1, 1}, "too large"}, Letter{Range{7, 9}, "nö"}, Letter{Range{100, 100}, "too large"}),
			},
		},
		"withdrawn": {
			LSN: 27, Store: goldenStore, Kind: KindBatch,
			Delta: &Delta{Next: 1008, Floor: 10, Removal: 10, Counters: Counters{Accepted: 1007}, Released: Ranges{{15, 17}}, Withdrawn: Ranges{{12, 12}, {16, 16}}},
		},
		"replays": {
			LSN: 31, Store: goldenStore, Kind: KindBatch, First: 10, Last: 13,
			Records: []Record{
				{Seq: 10, Entry: Entry{Message: types.Message{Topic: "a"}, Enqueued: at(0), Original: at(-1_200_000)}},
				{Seq: 11, Entry: Entry{Message: types.Message{Topic: "a"}, Enqueued: at(0)}},
				{Seq: 12, Entry: Entry{Message: types.Message{Topic: "a"}, Enqueued: at(1)}},
				{Seq: 13, Entry: Entry{Message: types.Message{Topic: "a", QoS: 1}, Enqueued: at(1), Original: at(3_600_000), Enveloped: true}},
			},
		},
		"kept": {
			LSN: 29, Store: goldenStore, Kind: KindBatch,
			Delta: &Delta{Next: 1008, Floor: 10, Removal: 6, Counters: Counters{Accepted: 1007, Left: [types.Reasons]uint64{types.Sent: 4}}, Done: few, Kept: few, Lapsed: Ranges{{2, 3}, {6, 6}}},
		},
		"kept-state": {
			LSN: 30, Store: goldenStore, Kind: KindState,
			Delta: &Delta{Next: 1 << 18, Floor: 1 << 17, Removal: 102, Counters: Counters{Accepted: 1 << 18, Left: [types.Reasons]uint64{types.Sent: 1 << 17}}, Kept: scattered},
		},
		"empty-state": {LSN: 1, Store: goldenStore, Kind: KindState, Delta: &Delta{Next: 1}},
	}
}

func TestGoldenEntries(t *testing.T) {
	var e Encoder
	for name, b := range goldenEntries() {
		t.Run(name, func(t *testing.T) {
			encoded := golden(t, name+".bin", e.Encode(b))
			decoded, err := Decode(bytes.Clone(encoded))
			if err != nil {
				t.Fatal(err)
			}
			if want := golden(t, name+".txt", []byte(dump(decoded))); dump(decoded) != string(want) {
				t.Errorf("it reads as\n%s\nwant\n%s", dump(decoded), want)
			}
			if dump(b) != dump(decoded) {
				t.Errorf("what was written reads as\n%s\nit was\n%s", dump(decoded), dump(b))
			}
			if again := e.Encode(decoded); !bytes.Equal(again, encoded) {
				t.Errorf("encoded again it is\n%swant\n%s", hex.Dump(again), hex.Dump(encoded))
			}
		})
	}
}

func letters(list ...Letter) (l Letters) {
	for _, x := range list {
		l.Add(x.Range, x.Why)
	}
	return l
}

func TestGoldenStoreRecord(t *testing.T) {
	if id, err := DecodeStoreRecord(stored(t, "store-record.bin")); err != nil || id != goldenStore { // version 1.0
		t.Errorf("that of version 1.0 reads as %x, %v", id, err)
	}
	b := golden(t, "store-record-1.1.bin", EncodeStoreRecord(goldenStore))
	id, err := DecodeStoreRecord(b)
	if err != nil || id != goldenStore {
		t.Errorf("it reads as %x, %v", id, err)
	}
	if again := EncodeStoreRecord(id); !bytes.Equal(again, b) {
		t.Errorf("encoded again it is %x, want %x", again, b)
	}
}

// golden returns what the file holds, and with -update writes it first.
func golden(t *testing.T, name string, content []byte) []byte {
	t.Helper()
	if *update {
		if err := os.WriteFile(filepath.Join("testdata", "golden", name), content, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return stored(t, name)
}

// stored returns what a golden file holds.
func stored(t *testing.T, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", "golden", name))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// dump is an entry for human eyes.
func dump(b *Batch) string {
	var out strings.Builder
	p := func(format string, args ...any) { fmt.Fprintf(&out, format+"\n", args...) }
	p("lsn %d kind %d store %x rewritten %t numbers %d-%d", b.LSN, b.Kind, b.Store, b.Rewritten, b.First, b.Last)
	for _, r := range b.Records {
		m := r.Message
		p("message %d topic %q qos %d retain %t expiry %v properties %x origin %q %d enqueued %d", r.Seq, m.Topic, m.QoS, m.Retain,
			m.Expiry, m.Properties, r.Origin.Source, r.Origin.ID, r.Enqueued.UnixMilli())
		p("  payload %x", m.Payload)
		if !r.Original.IsZero() {
			p("  replay of %d", r.Original.UnixMilli())
		}
		if r.Born > 0 {
			p("  born %d", r.Born)
		}
	}
	if d := b.Delta; d != nil {
		p("next %d floor %d removal %d clock %d age %d", d.Next, d.Floor, d.Removal, d.Clock, d.Age)
		p("accepted %d left %v", d.Counters.Accepted, d.Counters.Left)
		runs := slices.Collect(d.Done.All())
		p("done %d numbers in %d runs %v", d.Done.Count(), len(runs), runs)
		p("released %v", []Range(d.Released))
		for _, a := range d.Abandoned {
			p("abandoned %v %v", a.Range, a.Reason)
		}
		for _, m := range d.Marks {
			p("mark %q %x", m.Key, m.Value)
		}
		p("clean %t lazy %t suspect %d", d.Clean, d.Lazy, d.Suspect)
		if d.Compacted > 0 {
			p("compaction reclaimed %d ended %d", d.Reclaimed, d.Compacted)
		}
		if d.Expiring > 0 {
			p("expiring %d", d.Expiring)
		}
		for l := range d.Dead.All() {
			p("dead %v %q", l.Range, l.Why)
		}
		if d.Kept.Count() > 0 {
			runs := slices.Collect(d.Kept.All())
			p("kept %d numbers in %d runs %v", d.Kept.Count(), len(runs), runs)
		}
		if len(d.Freed) > 0 {
			p("freed %v", []Range(d.Freed))
		}
		if len(d.Lapsed) > 0 {
			p("lapsed %v", []Range(d.Lapsed))
		}
		if len(d.Withdrawn) > 0 {
			p("withdrawn %v", []Range(d.Withdrawn))
		}
	}
	return out.String()
}
