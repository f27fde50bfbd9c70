package actors

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/mqttdb/mqttdb/persistence"
	"github.com/mqttdb/mqttdb/types"
)

const elsewhere = "00112233445566778899aabbccddeeff"

// exported are the messages of these numbers of a store.
func exported(store string, seqs ...types.Seq) (list []types.Stored) {
	for _, seq := range seqs {
		list = append(list, types.Stored{
			Seq: seq, Store: store, Accepted: time.Now().Add(-time.Minute),
			Message: types.Message{Topic: "t", Payload: []byte(fmt.Sprint(seq)), QoS: 1},
		})
	}
	return list
}

func mustImport(t testing.TB, q *Queue, o Import, want int, list []types.Stored) {
	t.Helper()
	if n, err := q.Import(soon(t), list, o); err != nil || n != want {
		t.Errorf("imported %d, %v, want %d", n, err, want)
	}
}

// S7.6: what was imported is not imported again, whatever became of it here: also
// after a kill, and a failure of the actor. Other stores have numbers of their own.
func TestImportsAreStoredOnce(t *testing.T) {
	s := newTestStore()
	q, _ := startQueue(t, newTestSystem(t), s, nil)
	mustImport(t, q, Import{}, 3, exported(elsewhere, 5, 7, 70000))
	mustImport(t, q, Import{}, 2, exported(elsewhere, 5, 6, 7, 8, 8))
	mustImport(t, q, Import{}, 1, exported("nedb:00", 5))
	expectPayloads(t, q, "5 7 70000 6 8 5")
	q.Tell(Settle{Done: []persistence.Done{{Range: persistence.Range{First: 1, Last: 6}, Reason: types.Sent}}})
	mustImport(t, q, Import{}, 1, exported(elsewhere, 5, 6, 7, 8, 9))

	q.Kill()
	var interrupted error = types.ErrInterrupted
	for errors.Is(interrupted, types.ErrInterrupted) { // it was told before the failure
		_, interrupted = q.Import(soon(t), exported(elsewhere, 7), Import{})
	}
	if interrupted != nil {
		t.Fatal(interrupted)
	}

	after, _ := startQueue(t, newTestSystem(t), killed(s), nil)
	mustImport(t, after, Import{}, 0, exported(elsewhere, 5, 6, 7, 8, 9, 70000))
	mustImport(t, after, Import{Again: true}, 2, exported(elsewhere, 5, 9))
	mustImport(t, after, Import{}, 1, exported(elsewhere, 5, 9, 10))
	expectPayloads(t, after, "9 5 9 10")
}

// What is still here is not doubled by an import of what was exported from here, not
// even again; what has left is, once.
func TestImportOfWhatIsHere(t *testing.T) {
	q, _ := startQueue(t, newTestSystem(t), newTestStore(), nil)
	mustPut(t, q, "t", 3)
	q.Tell(Settle{Done: []persistence.Done{{Range: rangeOf(2), Reason: types.Sent}}})
	here := fmt.Sprintf("%x", fetchAll(t, q, 0).Store)
	mustImport(t, q, Import{}, 1, exported(here, 1, 2, 3))
	mustImport(t, q, Import{}, 0, exported(here, 1, 2, 3))
	mustImport(t, q, Import{Again: true}, 1, exported(here, 1, 2, 3))
}

// A commit that is refused leaves nothing behind that would keep a message out later.
func TestImportOfTooMuch(t *testing.T) {
	q, _ := startQueue(t, newTestSystem(t), newTestStore(), nil)
	list := exported(elsewhere, 1, 2, 3)
	list[1].Message.Payload = make([]byte, 9<<20)
	if _, err := q.Import(soon(t), list, Import{}); !errors.Is(err, types.ErrTooLarge) {
		t.Fatalf("%v", err)
	}
	mustImport(t, q, Import{}, 1, exported(elsewhere, 2))
	n, err := q.Import(soon(t), exported(elsewhere, 1, 3), Import{})
	if pending := len(fetchAll(t, q, 0).Records); err != nil || pending != 3 {
		t.Errorf("%d more, %v; %d pending", n, err, pending)
	}
}

// Where there is a limit no more is imported than it allows: who waits goes on when
// there is room, who does not is told.
func TestImportIntoAFullQueue(t *testing.T) {
	q, _ := startQueue(t, newTestSystem(t), newTestStore(), func(c *QueueConfig) { c.Limits.MaxMessages = 5 })
	if _, err := describe(t, q); err != nil { // it has started, and its limits hold
		t.Fatal(err)
	}
	list := exported(elsewhere, 1, 2, 3, 4, 5, 6, 7, 8)
	n, err := q.Import(soon(t), list, Import{})
	if !errors.Is(err, types.ErrQueueFull) || n != 5 || q.Status().Pending != 5 {
		t.Fatalf("imported %d, %v; %d are pending", n, err, q.Status().Pending)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if n, err := q.Import(ctx, list, Import{Wait: true}); err == nil || n != 0 {
		t.Errorf("imported %d, %v", n, err)
	}
	type answer struct {
		n   int
		err error
	}
	done := make(chan answer, 1)
	go func() {
		n, err := q.Import(soon(t), list, Import{Wait: true})
		done <- answer{n, err}
	}()
	q.Tell(Settle{Done: []persistence.Done{{Range: persistence.Range{First: 1, Last: 5}, Reason: types.Sent}}})
	if a := receive(t, done, "the import"); a.err != nil || a.n != 3 {
		t.Errorf("%+v", a)
	}
	expectPayloads(t, q, "6 7 8")
}

// S7.7: the age of what is imported goes on, and what says that it is from the future
// does not make it younger than now.
func TestImportedAge(t *testing.T) {
	q, _ := startQueue(t, newTestSystem(t), newTestStore(), nil)
	list := exported(elsewhere, 1, 2, 3)
	list[1].Accepted = time.Now().Add(time.Hour)
	list[2].Accepted = time.Time{}
	mustImport(t, q, Import{}, 3, list)
	for i, r := range fetchAll(t, q, 0).Records {
		want := []time.Duration{time.Minute, 0, 0}[i]
		if age := time.Since(r.Since); age < want-time.Millisecond || age > want+10*time.Second {
			t.Errorf("message %d is %v old, want %v", i+1, age, want)
		}
	}
}

// What is known of imports has a bound: what was imported longest ago is forgotten,
// and is known again should the commit not be written.
func TestImportsAreForgotten(t *testing.T) {
	a := &queue{queueKeeper: &queueKeeper{config: QueueConfig{Clock: systemClock{}}}, deciding: deciding{origins: &origins{}}}
	a.importing = importing{pieces: make(map[piece]*imported), touched: make(map[piece]bool)}
	const most = 3000
	var c persistence.Commit
	var before int
	for i := range uint64(most) {
		a.deciding.begin()
		a.importing.begin()
		c, before = persistence.Commit{}, len(a.pieces)
		first := i*importedPiece + 1
		a.imports(types.Origin{Source: ImportSource(elsewhere), ID: first})
		p := piece{ImportSource(elsewhere), i}
		size := a.pieces[p].size(p)
		for seq := types.Seq(first); seq < types.Seq(first+importedPiece-1); seq += 2 { // makes a bitmap
			a.pieces[p].numbers.Add(rangeOf(seq))
		}
		a.bytes += a.pieces[p].size(p) - size
		a.recordImports(&c)
		a.pieces[p].at = int64(i)
		if len(c.Marks) == 2 {
			break
		}
	}
	switch {
	case a.bytes > maxImported || len(a.pieces) >= most || len(c.Marks) != 2:
		t.Fatalf("%d pieces, %d bytes, %d marks", len(a.pieces), a.bytes, len(c.Marks))
	case a.pieces[piece{ImportSource(elsewhere), 0}] != nil || c.Marks[1].Value != nil || c.Marks[1].Key != importedMark+elsewhere+"/0":
		t.Errorf("%q was forgotten, and not the oldest", c.Marks[1].Key)
	}
	a.takeBack()
	sum := 0
	for p, found := range a.pieces {
		sum += found.size(p)
	}
	if len(a.pieces) != before || a.pieces[piece{ImportSource(elsewhere), 0}] == nil || sum != a.bytes {
		t.Errorf("%d pieces, want %d; %d bytes, said to be %d", len(a.pieces), before, sum, a.bytes)
	}
}

// A mark that is not what was written is none, and nothing is lost by that.
func TestImportedMarks(t *testing.T) {
	good := (&imported{at: 5}).mark(piece{ImportSource(elsewhere), 0x1f})
	if p, found, err := readImported(good.Key, good.Value); err != nil || p.index != 0x1f || found.at != 5 || p.key() != good.Key {
		t.Fatalf("%v %v %v", p, found, err)
	}
	for _, m := range []persistence.Mark{
		{Key: good.Key, Value: []byte{1}}, {Key: good.Key, Value: []byte{9, 5}}, {Key: good.Key, Value: []byte{1, 5, 0, 3}},
		{Key: importedMark + elsewhere, Value: good.Value}, {Key: importedMark + elsewhere + "/1F", Value: good.Value}, {Key: importedMark + "a/b/1", Value: good.Value},
	} {
		if _, _, err := readImported(m.Key, m.Value); !errors.Is(err, types.ErrCorrupt) {
			t.Errorf("%q %v: %v", m.Key, m.Value, err)
		}
	}
}

// A model: whatever comes in whatever order, with kills in between, each number is
// stored once.
func TestImportModel(t *testing.T) {
	for seed := range uint64(20) {
		rng := rand.New(rand.NewPCG(seed, 5))
		s := newTestStore()
		q, _ := startQueue(t, newTestSystem(t), s, nil)
		stored := make(map[types.Seq]bool)
		for range 30 {
			var list []types.Stored
			fresh := make(map[types.Seq]bool)
			for range 1 + rng.IntN(50) {
				seq := types.Seq(16300 + rng.IntN(200)) // two pieces
				list = append(list, exported(elsewhere, seq)...)
				if !stored[seq] {
					fresh[seq] = true
				}
			}
			mustImport(t, q, Import{}, len(fresh), list)
			for seq := range fresh {
				stored[seq] = true
			}
			if rng.IntN(5) == 0 {
				s = killed(s)
				q, _ = startQueue(t, newTestSystem(t), s, nil)
			}
		}
		if n := len(strings.Fields(payloads(t, q))); n != len(stored) || t.Failed() {
			t.Fatalf("seed %d: %d are stored, want %d", seed, n, len(stored))
		}
	}
}
