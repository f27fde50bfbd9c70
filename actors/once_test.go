package actors

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/mqttdb/mqttdb/persistence"
	"github.com/mqttdb/mqttdb/types"
)

// onceAnswer is what an EnqueueOnce was answered.
type onceAnswer struct {
	first    types.Seq
	repeated []int
	err      error
}

// onceWaiter is the Completion of an EnqueueOnce.
type onceWaiter struct {
	repeated []int
	answer   chan onceAnswer
}

func (w *onceWaiter) Repeated(indices []int) { w.repeated = slices.Clone(indices) }

func (w *onceWaiter) Stored(first types.Seq, err error) {
	w.answer <- onceAnswer{first, w.repeated, err}
}

// tellOnce tells q to store entries, each by its rule, and returns the answer when
// it is there.
func tellOnce(t testing.TB, q *Queue, once []types.Once, entries ...persistence.Entry) <-chan onceAnswer {
	t.Helper()
	if err := q.Admission().Acquire(soon(t), CostOf(entries)); err != nil {
		t.Fatal(err)
	}
	w := &onceWaiter{answer: make(chan onceAnswer, 1)}
	q.Tell(EnqueueOnce{Enqueue{Entries: entries, Done: w}, once})
	return w.answer
}

// from is a message that comes from a source.
func from(source string, id uint64, payload string) persistence.Entry {
	e := entry("t", payload)
	e.Message.QoS = 2
	e.Origin = types.Origin{Source: source, ID: id}
	return e
}

// rising are the messages of these numbers from a source, and their rules.
func rising(source string, ids ...uint64) (once []types.Once, entries []persistence.Entry) {
	for _, id := range ids {
		once = append(once, types.Once{Rule: types.Rising})
		entries = append(entries, from(source, id, fmt.Sprint(id)))
	}
	return once, entries
}

// putRising stores messages of a source, or finds them stored.
func putRising(t testing.TB, q *Queue, source string, ids ...uint64) onceAnswer {
	t.Helper()
	once, entries := rising(source, ids...)
	return receive(t, tellOnce(t, q, once, entries...), "the commit")
}

// payloads of what is pending, in order.
func payloads(t testing.TB, q *Queue) string {
	t.Helper()
	var list []string
	for _, r := range fetchAll(t, q, 0).Records {
		list = append(list, string(r.Message.Payload))
	}
	return strings.Join(list, " ")
}

// killed is a store with what a process leaves that is killed now.
func killed(s *testStore) *testStore { return &testStore{Store: s.Store.Kill()} }

func expectAnswer(t testing.TB, got onceAnswer, first types.Seq, repeated ...int) {
	t.Helper()
	if got.err != nil || got.first != first || !slices.Equal(got.repeated, repeated) {
		t.Errorf("answered %+v, want first %d, repeated %v", got, first, repeated)
	}
}

func expectPayloads(t testing.TB, q *Queue, want string) {
	t.Helper()
	if got := payloads(t, q); got != want {
		t.Errorf("stored %q, want %q", got, want)
	}
}

// S6.2: what is not above the highest number of its source is not stored again,
// and answered as if it were; also after a kill, and a failure of the actor. Other
// sources have numbers of their own.
func TestRisingNumbersAreStoredOnce(t *testing.T) {
	s := newTestStore()
	q, _ := startQueue(t, newTestSystem(t), s, nil)
	expectAnswer(t, putRising(t, q, "a", 1, 2, 3), 1)
	expectAnswer(t, putRising(t, q, "a", 2, 3, 4), 4, 0, 1)
	expectAnswer(t, putRising(t, q, "b", 1), 5)
	expectAnswer(t, putRising(t, q, "a", 1, 4), 0, 0, 1)
	expectPayloads(t, q, "1 2 3 4 1")

	q.Kill()
	answer := putRising(t, q, "a", 3, 4)
	for errors.Is(answer.err, types.ErrInterrupted) { // it was told before the failure
		answer = putRising(t, q, "a", 3, 4)
	}
	expectAnswer(t, answer, 0, 0, 1)

	after, _ := startQueue(t, newTestSystem(t), killed(s), nil)
	expectAnswer(t, putRising(t, after, "a", 4, 6), 6, 0)
	expectAnswer(t, putRising(t, after, "b", 1), 0, 0)
	expectPayloads(t, after, "1 2 3 4 1 6")
}

// What waits for the same commit counts as what is stored does, and a repeat is not
// answered before the commit of what it repeats.
func TestARepeatWaitsForWhatItRepeats(t *testing.T) {
	s := newTestStore()
	entered, goOn := make(chan struct{}, 10), make(chan struct{})
	s.onSync = func() error { entered <- struct{}{}; <-goOn; return nil }
	q, _ := startQueue(t, newTestSystem(t), s, nil)
	once, entries := rising("a", 1, 2)
	first := tellOnce(t, q, once, entries...)
	receive(t, entered, "the first sync")
	again := tellOnce(t, q, once, entries...) // the first are written, and not synced
	once, entries = rising("a", 2, 3)
	next := tellOnce(t, q, once, entries...)
	once, entries = rising("a", 3) // in the same commit
	last := tellOnce(t, q, once, entries...)
	for range 10 { // rounds of the mailbox
		if _, err := describe(t, q); err != nil {
			t.Fatal(err)
		}
	}
	select {
	case a := <-again:
		t.Fatalf("answered %+v before the first is synced", a)
	default:
	}
	close(goOn)
	expectAnswer(t, receive(t, first, "an answer"), 1)
	expectAnswer(t, receive(t, again, "an answer"), 0, 0, 1)
	expectAnswer(t, receive(t, next, "an answer"), 3, 0)
	expectAnswer(t, receive(t, last, "an answer"), 0, 0)
	expectPayloads(t, q, "1 2 3")
}

// Nothing that was not stored counts as stored: a commit that the store refuses, one
// that fails, one whose process is killed.
func TestWhatWasNotStoredIsNoRepeat(t *testing.T) {
	trouble := errors.New("disk on fire")
	for _, test := range []struct {
		name string
		err  error
	}{{"refused", types.ErrTooLarge}, {"failed", trouble}} {
		t.Run(test.name, func(t *testing.T) {
			s := newTestStore()
			s.onWrit = func(c persistence.Commit) error {
				for _, m := range c.Messages {
					if string(m.Message.Payload) == "2" {
						return test.err
					}
				}
				return nil
			}
			q, changed := startQueue(t, newTestSystem(t), s, nil)
			expectAnswer(t, putRising(t, q, "a", 1), 1)
			if got := putRising(t, q, "a", 2); !errors.Is(got.err, test.err) {
				t.Errorf("answered %+v", got)
			}
			s.set(func(s *testStore) { s.onWrit = nil })
			changed.wait(t, "an open store", func() bool { return q.Trouble() == nil })
			expectAnswer(t, putRising(t, q, "a", 1, 2), 2, 0)
			expectPayloads(t, q, "1 2")
		})
	}
}

// Of several requests that are refused together the guilty one is left out: a
// repeat of it that was told with it is not taken for stored.
func TestARepeatOfARefusedMessage(t *testing.T) {
	s := newTestStore()
	first := true
	s.onWrit = func(c persistence.Commit) error {
		if len(c.Messages) > 1 || len(c.Messages) == 1 && first {
			first = first && len(c.Messages) > 1
			return types.ErrTooLarge
		}
		return nil
	}
	q, _ := startQueue(t, newTestSystem(t), s, func(c *QueueConfig) { c.CommitDelay, c.Clock = time.Hour, newTestClock() })
	once, entries := rising("a", 1)
	refused := tellOnce(t, q, once, entries...)
	repeat := tellOnce(t, q, once, entries...)
	once, entries = rising("a", 2)
	other := tellOnce(t, q, once, entries...)
	q.Tell(flush{})
	if got := receive(t, refused, "an answer"); !errors.Is(got.err, types.ErrTooLarge) {
		t.Errorf("the refused one was answered %+v", got)
	}
	expectAnswer(t, receive(t, repeat, "an answer"), 1)
	expectAnswer(t, receive(t, other, "an answer"), 2)
	expectPayloads(t, q, "1 2")
}

// A request that is too large for one Write is numbered without gaps, with repeats
// before, between and behind, and among others that have none.
func TestRepeatsInARequestOfManyWrites(t *testing.T) {
	q, _ := startQueue(t, newTestSystem(t), newTestStore(), nil)
	expectAnswer(t, putRising(t, q, "b", 10), 1)
	large := func(e persistence.Entry) persistence.Entry {
		e.Message.Payload = append(make([]byte, writeBytes/3), e.Message.Payload...)
		return e
	}
	var once []types.Once
	var entries []persistence.Entry
	var want []int
	for i := range 20 {
		e, rule := from("a", uint64(i+1), "x"), types.Once{Rule: types.Rising}
		if i%3 == 0 {
			e, want = from("b", uint64(i/3+1), "repeat"), append(want, i)
		}
		if i == 19 {
			e = from("b", 1, "new all the same")
		}
		entries, once = append(entries, large(e)), append(once, rule)
	}
	plain := make(chan error, 1)
	big := []persistence.Entry{large(entry("t", "plain"))}
	answer := tellOnce(t, q, once[:19], entries...) // the last has no rule
	if err := q.Admission().Acquire(soon(t), CostOf(big)); err != nil {
		t.Fatal(err)
	}
	q.Tell(Enqueue{Entries: big, Done: CompletionFunc(func(first types.Seq, err error) {
		if first != 15 {
			err = fmt.Errorf("its number is %d", first)
		}
		plain <- err
	})})
	expectAnswer(t, receive(t, answer, "an answer"), 2, want...)
	if err := receive(t, plain, "an answer"); err != nil {
		t.Error(err)
	}
	if got := q.State().Next; got != 16 {
		t.Errorf("next is %d", got)
	}
}

// S6.2: a source that has been gone for as long as sessions are kept is forgotten;
// one that comes back before begins anew, and one that is there stays however
// quiet it is.
func TestSourcesThatAreGoneAreForgotten(t *testing.T) {
	clock := newTestClock()
	s := newTestStore()
	q, _ := startQueue(t, newTestSystem(t), s, func(c *QueueConfig) { c.Clock = clock })
	for i, source := range []string{"stays", "goes", "returns"} {
		expectAnswer(t, putRising(t, q, source, 5), types.Seq(i+1))
	}
	attend := func(sources ...string) {
		t.Helper()
		_, err := Ask(soon(t), q.Ref, func(r Reply[Noted]) QueueMessage {
			return Note{Attendance: &Attendance{sources, 10 * time.Hour}, Reply: r}
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	repeats := func(source string, want bool) {
		t.Helper()
		if got := len(putRising(t, q, source, 5).repeated) == 1; got != want {
			t.Errorf("number 5 of %q is known: %v", source, got)
		}
	}
	attend("stays")
	clock.advance(9 * time.Hour)
	attend("stays", "returns")
	repeats("goes", true)
	clock.advance(2 * time.Hour)
	attend("stays")
	repeats("returns", true)
	repeats("stays", true)
	if got := len(marksOf(t, q, SourceMark)); got != 2 {
		t.Errorf("%d marks", got)
	}
	repeats("goes", false)
}
