package actors

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/mqttdb/mqttdb/persistence"
	"github.com/mqttdb/mqttdb/types"
)

// What the store refuses for what it is concerns nobody else, and is no trouble
// of the store.
func TestOneThatIsRefused(t *testing.T) {
	huge := persistence.Entry{Message: types.Message{Topic: "t", Payload: bytes.Repeat([]byte("x"), 9<<20)}}
	wrong := persistence.Entry{Message: types.Message{Topic: "t", QoS: 3}}
	for _, test := range []struct {
		name string
		bad  func(*Queue, func(error))
		want error
	}{
		{"too large", func(q *Queue, answer func(error)) { enqueue(q, answer, huge) }, types.ErrTooLarge},
		{"no QoS", func(q *Queue, answer func(error)) { enqueue(q, answer, wrong) }, types.ErrInvalidMessage},
		{"the second of two", func(q *Queue, answer func(error)) { enqueue(q, answer, entry("t", "first"), wrong) }, types.ErrInvalidMessage},
		{"a mark", func(q *Queue, answer func(error)) {
			q.Tell(Note{Marks: []persistence.Mark{mark("a", strings.Repeat("x", 8<<20))}, Reply: func(_ Noted, err error) { answer(err) }})
		}, types.ErrTooLarge},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := newTestStore()
			q, _ := startQueue(t, newTestSystem(t), s, nil)
			mustPut(t, q, "t", 2)
			syncing, goOn := make(chan struct{}), make(chan struct{})
			s.set(func(s *testStore) {
				s.onSync = func() error {
					select {
					case syncing <- struct{}{}:
						<-goOn
					case <-goOn:
					}
					return nil
				}
			})
			answers := make(chan error, 3)
			tell := func(err error) { answers <- err }
			enqueue(q, tell, entry("t", "before"))
			receive(t, syncing, "a sync") // the others become one commit
			q.Tell(Settle{Done: []persistence.Done{{Range: persistence.Range{First: 1, Last: 1}, Reason: types.Sent}}})
			refused := make(chan error, 1)
			test.bad(q, func(err error) { refused <- err })
			enqueue(q, tell, entry("t", "after"))
			close(goOn)
			if err := receive(t, refused, "the refusal"); !errors.Is(err, test.want) {
				t.Errorf("%v, want %v", err, test.want)
			}
			for range 2 {
				if err := receive(t, answers, "an answer"); err != nil {
					t.Error(err)
				}
			}
			if st, err := describe(t, q); err != nil || st.Trouble != "" || st.Sent != 1 || st.Pending != 3 {
				t.Errorf("%+v, %v", st, err)
			}
			if s.opens != 1 {
				t.Errorf("the store was opened %d times", s.opens)
			}
			if used := q.Admission().Used(); used != (Cost{}) {
				t.Errorf("%+v leaked", used)
			}
		})
	}
}

// enqueue tells a queue to store entries, whether there is room or not.
func enqueue(q *Queue, answer func(error), entries ...persistence.Entry) {
	q.Admission().Notify(CostOf(entries), func(error) {
		q.Tell(Enqueue{Entries: entries, Done: CompletionFunc(func(_ types.Seq, err error) { answer(err) })})
	})
}
