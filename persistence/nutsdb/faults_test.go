//go:build !js

package nutsdb

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"testing"

	"github.com/mqttdb/mqttdb/persistence"
	"github.com/mqttdb/mqttdb/types"
)

const (
	faultQueue   = "plant/outgoing"
	faultSegment = 512 << 10
	faultCount   = 50_000 // messages
)

// faulty is a store with all that a queue can hold, as a kill left it, and what was
// told to it.
type faulty struct {
	dir     string
	ever    map[types.Seq][]byte // payloads
	pending map[types.Seq]bool
	sent    map[types.Seq]bool // were sent, and whether they are still kept
	next    types.Seq
	last    persistence.State
	all     []held
	forger  []byte // segments of another store
}

// held is an entry of it.
type held struct {
	place
	batch  *persistence.Batch // nil: a deletion
	delete bool
}

// newFaulty makes one.
func newFaulty(t testing.TB) *faulty {
	r := rand.New(rand.NewPCG(7, 7))
	f := &faulty{ever: map[types.Seq][]byte{}, pending: map[types.Seq]bool{}, sent: map[types.Seq]bool{}, next: 1, forger: strangerSegment(t)}
	f.dir = filepath.Join(t.TempDir(), "store")
	ctx := t.Context()
	for life := 0; f.next <= faultCount; life++ {
		s, err := Open(f.dir, Options{SegmentSize: faultSegment})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { s.Close() })
		s.deletes = life%2 == 0 // as earlier versions did
		q, err := s.Open(ctx, faultQueue)
		if err != nil {
			t.Fatal(err)
		}
		for until := f.next + faultCount/5; f.next < until && f.next <= faultCount; {
			f.step(t, r, q)
		}
		f.last = q.State()
		crashed := filepath.Join(t.TempDir(), "store")
		if err := os.CopyFS(crashed, os.DirFS(f.dir)); err != nil {
			t.Fatal(err)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		if life%2 == 0 || f.next > faultCount { // the last one ends by a kill
			f.dir = crashed
		}
		f.next = f.last.Next
	}
	f.find(t)
	return f
}

// step lets the queue take and lose some messages.
func (f *faulty) step(t testing.TB, r *rand.Rand, q persistence.Queue) {
	var c persistence.Commit
	for range 1 + r.IntN(1+r.IntN(400)) {
		payload := binary.LittleEndian.AppendUint64(make([]byte, r.IntN(200)), r.Uint64())
		if r.IntN(200) == 0 { // looks like entries, down to each checksum
			payload = slices.Clone(f.forger[:2000])
		}
		c.Messages = append(c.Messages, persistence.Entry{Message: types.Message{Topic: "t", Payload: payload, QoS: 1}})
	}
	first, err := q.Write(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	for i, e := range c.Messages {
		f.ever[first+types.Seq(i)], f.pending[first+types.Seq(i)] = e.Message.Payload, true
	}
	f.next = first + types.Seq(len(c.Messages))
	c = persistence.Commit{Marks: []persistence.Mark{{Key: strconv.Itoa(r.IntN(9)), Value: make([]byte, r.IntN(99))}}}
	if floor := q.State().Floor; r.IntN(2) == 0 { // most is never sent
		c.Done = append(c.Done, persistence.Done{Range: persistence.Range{First: floor + 1, Last: floor + 1 + types.Seq(r.IntN(80))}, Reason: types.Sent, Keep: r.IntN(4) > 0})
		if r.IntN(3) == 0 && floor > 1000 {
			c.Lapsed.Add(persistence.Range{First: 1, Last: floor - 1000})
		}
	}
	for range r.IntN(4) {
		at := 1 + types.Seq(r.Uint64N(uint64(f.next)))
		c.Done = append(c.Done, persistence.Done{Range: persistence.Range{First: at, Last: at + types.Seq(r.IntN(30))}, Reason: types.Cleared})
	}
	if _, err := q.Write(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	for _, d := range c.Done {
		for s := d.Range.First; s <= d.Range.Last && s < f.next; s++ {
			if d.Keep && f.pending[s] {
				f.sent[s] = true
			}
			delete(f.pending, s)
		}
	}
	for s := range f.sent {
		f.sent[s] = f.sent[s] && !c.Lapsed.Contains(s)
	}
	if r.IntN(20) == 0 {
		if _, err := q.(persistence.Compacter).Compact(t.Context(), 64<<10); err != nil {
			t.Fatal(err)
		}
	}
	if r.IntN(4) == 0 {
		if err := q.Sync(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}

func (f *faulty) find(t testing.TB) {
	dir := filepath.Join(f.dir, filepath.FromSlash(faultQueue))
	for _, p := range places(t, dir) {
		b := readFile(t, segmentFile(dir, p.segment, dataSuffix))[p.offset:p.end()]
		header, ok := parseEntryHeader(b)
		if !ok {
			t.Fatalf("entry %d is none", p.key)
		}
		e := held{place: p, delete: header.delete}
		if !e.delete {
			var err error
			if e.batch, err = persistence.Decode(b[header.length+keySize:]); err != nil {
				t.Fatal(err)
			}
		}
		f.all = append(f.all, e)
	}
}

// strangerSegment is a segment of another store.
func strangerSegment(t testing.TB) []byte {
	dir := t.TempDir()
	m := openDir(t, dir, faultSegment)
	for key := uint64(1); m.used < faultSegment*9/10; key++ { // with keys that are ours, too
		if _, err := m.Append(key, entryValue(persistence.StoreID{9, 9, 9}, key, 100)); err != nil {
			t.Fatal(err)
		}
	}
	m.Close()
	return readFile(t, segmentFile(dir, 1, dataSuffix))
}

// fault is one thing that happened to the files.
type fault struct {
	what string
	hit  func(held) bool // whether the entry is hurt
	// A copy of these bytes of a segment, as they are now, is to be kept.
	segment uint64
	bytes   []byte
}

// strike makes one random fault.
func (f *faulty) strike(t testing.TB, r *rand.Rand, dir string) fault {
	victim := f.all[r.IntN(len(f.all))]
	path := segmentFile(dir, victim.segment, dataSuffix)
	b := readFile(t, path)
	within := func(from, to int64) func(held) bool {
		return func(e held) bool { return e.segment == victim.segment && e.offset < to && e.end() > from }
	}
	at := victim.offset + r.Int64N(victim.bytes)
	switch kind := r.IntN(8); kind {
	case 0, 1: // in an entry that makes another one be forgotten, if there is one
		if kind == 1 {
			for range 1000 {
				if e := f.all[r.IntN(len(f.all))]; e.delete {
					victim, path = e, segmentFile(dir, e.segment, dataSuffix)
					b, at = readFile(t, path), e.offset+r.Int64N(e.bytes)
					break
				}
			}
		}
		b[at] ^= 1 << r.IntN(8)
		writeFile(t, path, b)
		return fault{fmt.Sprintf("bit of %d.dat at %d", victim.segment, at), within(at, at+1), victim.segment, b[victim.offset:victim.end()]}
	case 2:
		from := at &^ 4095
		to := min(int64(len(b)), from+4096)
		clear(b[from:to])
		writeFile(t, path, b)
		return fault{what: fmt.Sprintf("zeroed page of %d.dat at %d", victim.segment, from), hit: within(from, to)}
	case 3:
		writeFile(t, path, b[:at])
		return fault{what: fmt.Sprintf("%d.dat truncated to %d", victim.segment, at), hit: within(at, 1<<40)}
	case 4:
		files, err := os.ReadDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		name := files[r.IntN(len(files))].Name()
		if err := os.RemoveAll(filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
		return fault{what: name + " deleted", hit: func(e held) bool { return name == fmt.Sprint(e.segment, dataSuffix) }}
	case 5:
		other := f.all[r.IntN(len(f.all))].segment
		suffix := []string{dataSuffix, dataSuffix, sealSuffix, hintSuffix}[r.IntN(4)]
		one, two := segmentFile(dir, victim.segment, suffix), segmentFile(dir, other, suffix)
		tmp := filepath.Join(t.TempDir(), "x")
		for _, move := range [][2]string{{one, tmp}, {two, one}, {tmp, two}} {
			if err := os.Rename(move[0], move[1]); err != nil && !errors.Is(err, os.ErrNotExist) {
				t.Fatal(err)
			}
		}
		return fault{what: fmt.Sprintf("%d%s and %d%s swapped", victim.segment, suffix, other, suffix), hit: func(held) bool { return false }}
	case 6:
		writeFile(t, path, f.forger)
		return fault{what: fmt.Sprintf("%d.dat is that of another store", victim.segment), hit: func(e held) bool { return e.segment == victim.segment },
			segment: victim.segment, bytes: f.forger[:500]}
	default: // the length of an entry that holds what looks like entries
		for range 1000 {
			if e := f.all[r.IntN(len(f.all))]; e.batch != nil && slices.ContainsFunc(e.batch.Records, func(r persistence.Record) bool { return len(r.Message.Payload) == 2000 }) {
				victim, path = e, segmentFile(dir, e.segment, dataSuffix)
				b = readFile(t, path)
				break
			}
		}
		b[victim.offset+r.Int64N(20)] ^= 0xff
		writeFile(t, path, b)
		return fault{fmt.Sprintf("head of %d in %d.dat", victim.key, victim.segment), within(victim.offset, victim.offset+1), victim.segment, b[victim.offset:victim.end()]}
	}
}

// complainOfSent says what is wrong with what is kept of what was sent.
func (f *faulty) complainOfSent(ctx context.Context, q persistence.Queue, intact map[types.Seq]bool) (wrong []string) {
	records, err := q.(persistence.SentReader).ReadSent(ctx, nil, 0, persistence.Limit{})
	if err != nil {
		return []string{fmt.Sprintf("read what was sent: %v", err)}
	}
	st, got := q.State(), map[types.Seq]bool{}
	for _, r := range records {
		got[r.Seq] = true
		kept, was := f.sent[r.Seq]
		switch {
		case !bytes.Equal(r.Message.Payload, f.ever[r.Seq]):
			wrong = append(wrong, fmt.Sprintf("kept message %d has a wrong payload", r.Seq))
		case !was:
			wrong = append(wrong, fmt.Sprintf("message %d is kept, and never was", r.Seq))
		case !kept && !st.DuplicatesPossible:
			wrong = append(wrong, fmt.Sprintf("message %d has lapsed, and is kept again", r.Seq))
		}
	}
	for s, kept := range f.sent {
		if kept && intact[s] && !got[s] && !st.DuplicatesPossible {
			wrong = append(wrong, fmt.Sprintf("message %d is in an intact entry, and is kept no longer", s))
		}
	}
	return wrong
}

// complain opens a damaged store and says what is wrong with what it then holds.
func (f *faulty) complain(ctx context.Context, dir string, hurt fault) (wrong []string) {
	say := func(format string, args ...any) {
		if len(wrong) < 5 {
			wrong = append(wrong, fmt.Sprintf(format, args...))
		}
	}
	s, err := Open(dir, Options{SegmentSize: faultSegment})
	if err != nil {
		return []string{fmt.Sprintf("open the store: %v", err)}
	}
	defer s.Close()
	q, err := s.Open(ctx, faultQueue)
	if err != nil {
		return []string{fmt.Sprintf("open: %v", err)}
	}
	got := map[types.Seq]bool{}
	records, err := q.Read(ctx, nil, 0, persistence.Limit{})
	if err != nil {
		return []string{fmt.Sprintf("read: %v", err)}
	}
	for _, r := range records {
		got[r.Seq] = true
		if !bytes.Equal(r.Message.Payload, f.ever[r.Seq]) || f.ever[r.Seq] == nil {
			say("message %d has a wrong payload", r.Seq)
		}
	}
	st := q.State()
	floor, intact := types.Seq(0), map[types.Seq]bool{}
	for _, e := range f.all {
		if hurt.hit(e) || e.batch == nil {
			continue
		}
		for _, r := range e.batch.Records {
			intact[r.Seq] = true
		}
		if e.batch.Delta != nil {
			floor = max(floor, e.batch.Delta.Floor)
		}
	}
	lost, back := 0, 0
	for s := range f.pending {
		if intact[s] && !got[s] {
			say("message %d is in an intact entry, and is gone", s)
		}
		if !got[s] {
			lost++
		}
	}
	for s := range got {
		if s <= floor {
			say("message %d is back, below the floor at %d", s, floor)
		}
		if !f.pending[s] {
			back++
		}
	}
	for _, what := range f.complainOfSent(ctx, q, intact) {
		say("%s", what)
	}
	sum := st.Pending()
	for _, n := range st.Counters.Left {
		sum += n
	}
	switch {
	case back > 0 && !st.DuplicatesPossible:
		say("%d messages are back, and it is not said", back)
	case st.Counters.Accepted != sum || st.Pending() != uint64(len(got)):
		say("the books: accepted %d, left and pending %d; %d pending, %d can be read", st.Counters.Accepted, sum, st.Pending(), len(got))
	case st.Next < f.next:
		say("number %d is given again", st.Next)
	case back == 0 && !st.DuplicatesPossible && st.Counters.Left[types.Quarantined] != uint64(lost):
		say("%d are counted as quarantined, %d are lost", st.Counters.Left[types.Quarantined], lost)
	}
	queue := filepath.Join(dir, filepath.FromSlash(faultQueue))
	if len(hurt.bytes) > 0 && lost > 0 && !keptCopy(queue, hurt) {
		say("no copy of the damaged bytes is kept")
	}
	// What was found out stays so.
	if err := q.Close(ctx); err != nil {
		return append(wrong, fmt.Sprintf("close: %v", err))
	}
	if q, err = s.Open(ctx, faultQueue); err != nil {
		return append(wrong, fmt.Sprintf("open again: %v", err))
	}
	again := q.State()
	if again.Counters != st.Counters || again.Pending() != st.Pending() || again.Kept > st.Kept {
		say("opened again it says %+v, %d pending and %d kept, before %+v, %d and %d", again.Counters, again.Pending(), again.Kept, st.Counters, st.Pending(), st.Kept)
	}
	return wrong
}

// keptCopy says whether the quarantine has the bytes.
func keptCopy(queue string, hurt fault) bool {
	files, _ := filepath.Glob(filepath.Join(queue, quarantineName, fmt.Sprintf("%d-*", hurt.segment)))
	return slices.ContainsFunc(files, func(path string) bool {
		b, err := os.ReadFile(path)
		return err == nil && bytes.Contains(b, hurt.bytes)
	})
}

// Any single fault costs what it hit and no more (FAULTS: how many are tried).
func TestFaults(t *testing.T) {
	count := 60
	if n, err := strconv.Atoi(os.Getenv("FAULTS")); err == nil {
		count = n
	}
	f := newFaulty(t)
	deletions, forged := 0, 0
	for _, e := range f.all {
		if e.delete {
			deletions++
		} else if slices.ContainsFunc(e.batch.Records, func(r persistence.Record) bool { return len(r.Message.Payload) == 2000 }) {
			forged++
		}
	}
	t.Logf("%d messages, %d pending; %d entries, %d deletions, %d with a forgery", len(f.ever), len(f.pending), len(f.all), deletions, forged)
	if deletions == 0 || forged == 0 || f.last.Floor == 0 {
		t.Fatal("the store does not have everything")
	}
	if wrong := f.complain(t.Context(), f.copy(t), fault{hit: func(held) bool { return false }}); len(wrong) > 0 {
		t.Fatalf("undamaged: %v", wrong)
	}
	for seed := range count {
		r := rand.New(rand.NewPCG(uint64(seed), 11))
		dir := f.copy(t)
		hurt := f.strike(t, r, filepath.Join(dir, filepath.FromSlash(faultQueue)))
		if wrong := f.complain(t.Context(), dir, hurt); len(wrong) > 0 {
			t.Errorf("fault %d, %s: %v", seed, hurt.what, wrong)
		}
		os.RemoveAll(dir)
	}
}

// The checks above notice what they are there for.
func TestFaultsAreNoticed(t *testing.T) {
	f := newFaulty(t)
	none := fault{hit: func(held) bool { return false }}
	var newest held // that has a message that is pending
	var seq types.Seq
	for _, e := range f.all {
		for i := 0; e.batch != nil && i < len(e.batch.Records); i++ {
			if s := e.batch.Records[i].Seq; f.pending[s] {
				newest, seq = e, s
			}
		}
	}
	for _, c := range []struct {
		name string
		do   func(dir string) (undo func())
		say  string
	}{
		{"a lost batch", func(dir string) func() {
			path := segmentFile(dir, newest.segment, dataSuffix)
			b := readFile(t, path)
			b[newest.offset+30] ^= 1
			writeFile(t, path, b)
			return func() {}
		}, "is gone"},
		{"a wrong payload", func(string) func() {
			was := f.ever[seq]
			f.ever[seq] = []byte("another")
			return func() { f.ever[seq] = was }
		}, "wrong payload"},
		{"one that is back", func(string) func() {
			delete(f.pending, seq)
			return func() { f.pending[seq] = true }
		}, "are back"},
		{"one below the floor", func(string) func() {
			newest.batch.Delta = &persistence.Delta{Floor: seq}
			f.all = append(f.all, newest)
			return func() { f.all = f.all[:len(f.all)-1] }
		}, "below the floor"},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := f.copy(t)
			undo := c.do(filepath.Join(dir, filepath.FromSlash(faultQueue)))
			defer undo()
			if wrong := fmt.Sprint(f.complain(t.Context(), dir, none)); !bytes.Contains([]byte(wrong), []byte(c.say)) {
				t.Errorf("it says %s", wrong)
			}
		})
	}
}

func (f *faulty) copy(t testing.TB) string {
	to := filepath.Join(t.TempDir(), "copy")
	if err := os.CopyFS(to, os.DirFS(f.dir)); err != nil {
		t.Fatal(err)
	}
	return to
}
