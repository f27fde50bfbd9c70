package runtime

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/mqttdb/mqttdb/persistence"
	"github.com/mqttdb/mqttdb/types"
)

func stateOf(store byte, floor, next types.Seq, done ...types.Seq) persistence.State {
	s := persistence.State{StoreID: persistence.StoreID{store}, Floor: floor, Next: next}
	for _, q := range done {
		s.Done.Add(persistence.Range{First: q, Last: q})
	}
	return s
}

func doneAs(first, last types.Seq, why types.Reason) []persistence.Done {
	return []persistence.Done{{Range: persistence.Range{First: first, Last: last}, Reason: why}}
}

// What Delivered says of messages 1 to 6, whatever happens to the queue.
func TestTracker(t *testing.T) {
	for _, test := range []struct {
		name   string
		happen func(*tracker)
		want   string // per message: + sent, - not, ? not known
	}{
		{"sent and cleared", func(t *tracker) {
			t.settled(doneAs(1, 2, types.Sent))
			t.settled(doneAs(4, 4, types.Cleared))
		}, "++?-??"},
		{"all cleared, some were sent", func(t *tracker) {
			t.settled(doneAs(2, 3, types.Sent))
			t.settled(doneAs(1, 5, types.Cleared))
		}, "-++--?"},
		{"found missing when read", func(t *tracker) {
			t.settled(doneAs(1, 1, types.Sent))
			t.lost(stateOf(1, 2, 7, 4))
		}, "+-?-??"},
		{"found missing when opened again", func(t *tracker) {
			t.settled(doneAs(1, 1, types.Sent))
			t.began(stateOf(1, 2, 7, 4))
		}, "+-?-??"},
		{"a failed Write was stored", func(t *tracker) {
			t.failed(doneAs(1, 2, types.Sent))
			t.failed(doneAs(3, 4, types.Cleared))
			t.began(stateOf(1, 4, 7, 6))
		}, "++--?-"},
		{"a failed Write was not stored", func(t *tracker) {
			t.failed(doneAs(1, 6, types.Cleared))
			t.began(stateOf(1, 0, 7))
			t.settled(doneAs(1, 6, types.Sent))
		}, "++++++"},
		{"another store", func(t *tracker) {
			t.settled(doneAs(1, 1, types.Sent))
			t.began(stateOf(2, 0, 1))
		}, "??????"},
	} {
		t.Run(test.name, func(t *testing.T) {
			var before, after tracker
			for _, tr := range []*tracker{&before, &after} {
				tr.began(stateOf(1, 0, 7))
			}
			// Asked afterwards.
			test.happen(&after)
			got := ""
			for seq := types.Seq(1); seq <= 6; seq++ {
				got += verdict(after.fate(seq))
			}
			if got != test.want {
				t.Errorf("asked afterwards: %s, want %s", got, test.want)
			}
			// Waited for.
			ctx, cancel := context.WithCancel(t.Context())
			answers := make([]chan error, 7)
			for seq := types.Seq(1); seq <= 6; seq++ {
				answers[seq] = make(chan error, 1)
				go func() { answers[seq] <- before.delivered(ctx, seq) }()
			}
			for waiting := 0; waiting < 6; {
				before.mu.Lock()
				waiting = len(before.waiting)
				before.mu.Unlock()
			}
			test.happen(&before)
			before.mu.Lock()
			waiting := len(before.waiting)
			before.mu.Unlock()
			if want := strings.Count(test.want, "?"); test.name != "another store" && waiting != want || test.name == "another store" && waiting != 0 {
				t.Errorf("%d wait on, want %d", waiting, want)
			}
			cancel()
			for seq := types.Seq(1); seq <= 6; seq++ {
				err := <-answers[seq]
				if got, want := verdict(!errors.Is(err, context.Canceled), err), test.want[seq-1:seq]; got != want && test.name != "another store" {
					t.Errorf("message %d: %v, want %s", seq, err, want)
				}
			}
		})
	}
}

func verdict(known bool, err error) string {
	switch {
	case !known:
		return "?"
	case err == nil:
		return "+"
	}
	return "-"
}
