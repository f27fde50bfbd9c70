package runtime_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/mqttdb/mqttdb/config"
	"github.com/mqttdb/mqttdb/types"
)

// What a publisher sends again, because it does not know what became of it, is stored
// once: also by the next process.
func TestPublishOnce(t *testing.T) {
	h := newHouse()
	h.broker.Down()
	conn := h.open(t, config.Connection{Name: "cloud"}).Connection("cloud")
	publish := func(first, last uint64) []types.Seq {
		t.Helper()
		var ids []uint64
		var list []types.Message
		for id := first; id <= last; id++ {
			ids, list = append(ids, id), append(list, message("t", fmt.Sprint(id)))
		}
		seqs, err := conn.PublishOnce(t.Context(), "page/1", ids, list)
		if err != nil {
			t.Fatal(err)
		}
		return seqs
	}
	if got := publish(1, 3); !slices.Equal(got, []types.Seq{1, 2, 3}) {
		t.Errorf("first: %v", got)
	}
	if got := publish(2, 5); !slices.Equal(got, []types.Seq{0, 0, 4, 5}) {
		t.Errorf("with two repeats: %v", got)
	}
	h.store = h.store.Kill()
	again := h.open(t, config.Connection{Name: "cloud"})
	conn = again.Connection("cloud")
	if got := publish(5, 6); !slices.Equal(got, []types.Seq{0, 6}) {
		t.Errorf("by the next process: %v", got)
	}
	soFar := make(chan error, 1)
	go func() { soFar <- conn.DeliveredSoFar(t.Context()) }()
	h.broker.Up()
	if err := <-soFar; err != nil {
		t.Error(err)
	}
	if err := conn.Delivered(t.Context(), 6); err != nil {
		t.Error(err)
	}
	if got, want := h.payloads(), []string{"1", "2", "3", "4", "5", "6"}; !slices.Equal(got, want) {
		t.Errorf("the broker got %v", got)
	}
}

func TestPublishOnceRefuses(t *testing.T) {
	h := newHouse()
	h.broker.Down()
	conn := h.open(t, config.Connection{Name: "cloud", Limits: config.Limits{Limit: config.Limit{MaxMessages: 1}}}).Connection("cloud")
	tests := []struct {
		name string
		ids  []uint64
		list []types.Message
		want error
	}{
		{"another number of ids", []uint64{1, 2}, []types.Message{message("t", "")}, types.ErrInvalidMessage},
		{"a wildcard", []uint64{1}, []types.Message{message("t/#", "")}, types.ErrInvalidTopic},
		{"nothing", nil, nil, nil},
		{"up to the limit", []uint64{1}, []types.Message{message("t", "")}, nil},
		{"beyond the limit", []uint64{2}, []types.Message{message("t", "")}, types.ErrQueueFull},
	}
	for _, test := range tests {
		if _, err := conn.PublishOnce(t.Context(), "page/1", test.ids, test.list); !errors.Is(err, test.want) {
			t.Errorf("%s: %v, want %v", test.name, err, test.want)
		}
	}
}

// Redial gives up a link that the network has taken, and does not wait for the backoff.
func TestRedial(t *testing.T) {
	h := newHouse()
	rt := h.open(t, config.Connection{Name: "cloud"})
	conn := rt.Connection("cloud")
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	first := waitForState(t, rt, "cloud", types.Online)
	h.broker.Freeze() // it is there, and says nothing
	if _, err := conn.Publish(ctx, message("t", "1")); err != nil {
		t.Fatal(err)
	}
	h.broker.Thaw()
	if err := conn.Redial(); err != nil {
		t.Fatal(err)
	}
	waitFor(t, rt, func() bool {
		s := conn.Status()
		return s.State == types.Online && s.Since.After(first.Since)
	})
	if err := conn.Drain(ctx); err != nil {
		t.Fatal(err)
	}
	if err := conn.Pause(); err != nil {
		t.Fatal(err)
	}
	waitForState(t, rt, "cloud", types.Paused)
	if err := conn.Redial(); err != nil {
		t.Fatal(err)
	}
	if s := conn.Status().State; s != types.Paused {
		t.Errorf("what is paused dials: %s", s)
	}
}
