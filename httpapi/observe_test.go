package httpapi

import (
	"context"
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mqttdb/mqttdb/types"
)

func status(state types.State, change func(*types.Status)) types.Status {
	s := types.Status{Name: "cloud", State: state, Broker: "mqtt://b", Outgoing: types.EmptyQueueStatus(), Incoming: types.EmptyQueueStatus()}
	if change != nil {
		change(&s)
	}
	return s
}

// What happens is told once, with why, and no more often than somebody can read.
func TestChanges(t *testing.T) {
	failing := func(why string) func(*types.Status) {
		return func(s *types.Status) { s.LastError, s.Hint = why, "do this" }
	}
	out := func(change func(*types.QueueStatus)) func(*types.Status) {
		return func(s *types.Status) { change(&s.Outgoing) }
	}
	dropped := func(n uint64) types.Status {
		return status(types.Online, out(func(q *types.QueueStatus) { q.Dropped = n }))
	}
	type step struct {
		after  time.Duration
		status types.Status
		want   []string
	}
	for _, c := range []struct {
		name  string
		steps []step
	}{
		{"a link comes and goes", []step{
			{0, status(types.Connecting, nil), nil},
			{1, status(types.Online, nil), []string{"connected connected to mqtt://b"}},
			{1, status(types.Online, nil), nil},
			{1, status(types.Backoff, failing("EOF")), []string{"disconnected disconnected: EOF (do this)"}},
			{1, status(types.Connecting, failing("EOF")), nil},
			{1, status(types.Online, nil), []string{"connected connected to mqtt://b"}},
		}},
		{"a link that came anew between two looks", []step{
			{0, status(types.Online, nil), []string{"connected connected to mqtt://b"}},
			{1, status(types.Online, func(s *types.Status) { s.Since = time.Unix(5, 0) }), []string{"connected connected to mqtt://b"}},
		}},
		{"a broker that is not there", []step{
			{0, status(types.Connecting, nil), nil},
			{1, status(types.Backoff, failing("refused 1")), []string{"failed cannot connect: refused 1 (do this)"}},
			{1, status(types.Connecting, failing("refused 1")), nil},
			{time.Hour, status(types.Backoff, failing("refused 1")), nil},
			{1, status(types.Backoff, failing("timeout")), []string{"failed cannot connect: timeout (do this)"}},
			{1, status(types.Backoff, failing("refused 2")), nil},
			{time.Minute, status(types.Backoff, failing("refused 2")), []string{"failed cannot connect: refused 2 (do this)"}},
		}},
		{"pause and resume", []step{
			{0, status(types.Online, nil), []string{"connected connected to mqtt://b"}},
			{1, status(types.Paused, nil), []string{"paused paused: messages are stored and not sent"}},
			{1, status(types.Connecting, nil), []string{"resumed resumed"}},
			{1, status(types.Paused, nil), []string{"paused paused: messages are stored and not sent"}},
			{1, status(types.Online, nil), []string{"resumed resumed", "connected connected to mqtt://b"}},
		}},
		{"stall and refusal", []step{
			{0, status(types.Online, nil), []string{"connected connected to mqtt://b"}},
			{1, status(types.Stalled, nil), []string{"stalled connected, but the broker acknowledges nothing"}},
			{1, status(types.Online, nil), []string{"connected the broker acknowledges again"}},
			{1, status(types.Refused, failing("bad password")), []string{"refused refused by the broker: bad password (do this)"}},
			{1, status(types.Connecting, failing("bad password")), nil},
			{1, status(types.Refused, failing("bad password")), nil}, // the same again
			{time.Hour, status(types.Refused, failing("not authorized")), []string{"refused refused by the broker: not authorized (do this)"}},
		}},
		{"counters", []step{
			{0, dropped(5), []string{"connected connected to mqtt://b"}}, // what was before is no news
			{1, dropped(6), []string{"dropped 1 message of the outgoing queue dropped (limits.overflow says which; raise its limits)"}},
			{1, dropped(100), nil},
			{countsInterval, dropped(100), []string{"dropped 94 messages of the outgoing queue dropped (limits.overflow says which; raise its limits)"}},
			{time.Hour, dropped(100), nil},
			{1, dropped(3), nil}, // another store
			{1, dropped(4), []string{"dropped 1 message of the outgoing queue dropped (limits.overflow says which; raise its limits)"}},
		}},
		{"a disk in trouble", []step{
			{0, status(types.Offline, out(func(q *types.QueueStatus) { q.Trouble, q.Unread = "no space", true })), []string{"disk the outgoing queue cannot store: no space"}},
			{1, status(types.Offline, out(func(q *types.QueueStatus) { q.Quarantined = 7 })), []string{"disk the outgoing queue can store again"}}, // of before
			{1, status(types.Offline, out(func(q *types.QueueStatus) { q.Quarantined = 9 })), []string{"damage 2 messages of the outgoing queue damaged and set aside (check the disk; docs/operations.md)"}},
		}},
		{"a queue that is full now and then", []step{
			{0, status(types.Offline, out(func(q *types.QueueStatus) { q.Full = "max_messages" })), []string{"full the outgoing queue is full: max_messages (whoever publishes waits; drain or clear the queue, or raise its limits)"}},
			{1, status(types.Offline, nil), nil},
			{1, status(types.Offline, out(func(q *types.QueueStatus) { q.Full = "max_messages" })), nil},
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			changes, now := newChanges(), time.Unix(1000, 0)
			for i, s := range c.steps {
				now = now.Add(s.after)
				var got []string
				for _, e := range changes.compare(now, []types.Status{s.status}) {
					text := string(e.Kind) + " " + e.Text
					if e.Hint != "" {
						text += " (" + e.Hint + ")"
					}
					got = append(got, text)
					if e.Connection != "cloud" || e.At != now.UnixMilli() {
						t.Errorf("step %d: %+v", i, e)
					}
				}
				if !slices.Equal(got, s.want) {
					t.Errorf("step %d: %q, want %q", i, got, s.want)
				}
			}
		})
	}
}

// The ring has an hour, says where it knows nothing, and survives a clock that is set.
func TestHistoryRing(t *testing.T) {
	var h history
	at := func(step int) time.Time { return time.UnixMilli(int64(step) * historyStep.Milliseconds()) }
	add := func(step int, pending uint64, unread bool) {
		h.add(at(step), []types.Status{status(types.Online, func(s *types.Status) { s.Outgoing.Pending, s.Outgoing.Unread = pending, unread })})
	}
	expect := func(first int, want ...any) {
		t.Helper()
		s := h.series["cloud"].columns()
		var got []any
		for _, n := range s.Pending {
			if n == nil {
				got = append(got, nil)
			} else {
				got = append(got, int(*n))
			}
		}
		if s.First != at(first).UnixMilli() || !reflect.DeepEqual(got, want) || len(s.Sent) != len(want) || len(s.IncomingPending) != len(want) {
			t.Errorf("from %d: %v, want from %d: %v", s.First, got, at(first).UnixMilli(), want)
		}
	}
	add(100, 1, false)
	add(100, 2, false) // has it
	add(101, 3, false)
	add(103, 4, false)
	add(104, 0, true)
	expect(100, 1, 3, nil, 4, nil)
	add(50, 5, false)
	expect(50, 5)
	add(50+historyLen+1, 6, false)
	expect(50+historyLen+1, 6)
	for n := range 2 * historyLen {
		add(1000+n, uint64(n), false)
	}
	if s := h.series["cloud"]; len(s.samples) != historyLen || s.first != int64(1000+historyLen) || s.samples[historyLen-1].pending != uint64(2*historyLen-1) {
		t.Errorf("%d samples from %d", len(s.samples), s.first)
	}
	h.add(at(9000), nil)
	if _, ok := h.of("cloud"); ok {
		t.Error("what is gone is remembered")
	}
}

// A status is published at most once a second, the latest at last, and taken back
// with its connection.
func TestTopics(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var got []string
		began := time.Now()
		topics := newTopics(func(topic string, payload []byte) {
			var s types.Status
			if len(payload) > 0 && json.Unmarshal(payload, &s) != nil {
				t.Errorf("%s is no status", payload)
			}
			got = append(got, fmt.Sprintf("%v %s %d %t", time.Since(began), topic, s.Outgoing.Pending, len(payload) == 0))
		})
		pending := func(n uint64) []types.Status {
			return []types.Status{
				status(types.Online, func(s *types.Status) { s.Outgoing.Pending = n }),
				{Name: "_local"}, {Name: "lost", Orphan: true},
			}
		}
		for n := range uint64(4) {
			topics.changed(pending(n), nil)
			topics.publish(time.Now())
			time.Sleep(250 * time.Millisecond)
		}
		topics.publish(<-topics.due)
		if topics.due != nil {
			t.Error("it wakes with nothing to do")
		}
		topics.changed(nil, []string{"cloud", "lost"})
		topics.publish(time.Now())
		want := []string{"0s $mqttdb/cloud/status 0 false", "1s $mqttdb/cloud/status 3 false", "1s $mqttdb/cloud/status 0 true"}
		if !slices.Equal(got, want) {
			t.Errorf("%q, want %q", got, want)
		}
	})
}

// still is a runtime where nothing happens; the server asks it for nothing more.
type still struct {
	Runtime
	asked int
}

func (s *still) Status() []types.Status {
	s.asked++
	return []types.Status{status(types.Online, nil)}
}

func (s *still) Watch(context.Context) <-chan []types.Status { return nil }

// An idle gateway that nobody looks at wakes once for each step of the history.
func TestIdle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rt := &still{}
		s := &Server{rt: rt, hub: newHub()}
		o := newObserver(s)
		done := make(chan struct{})
		ctx, cancel := context.WithCancel(t.Context())
		go func() { defer close(done); o.run(ctx) }()
		time.Sleep(30*time.Minute + historyStep/2)
		synctest.Wait()
		if n := len(s.history.series["cloud"].samples); n < 180 || n > 182 {
			t.Errorf("%d samples in half an hour", n)
		}
		if rt.asked != 1 || len(s.hub.encoded) != 0 {
			t.Errorf("asked %d times; JSON of %d statuses was made for nobody", rt.asked, len(s.hub.encoded))
		}
		cancel()
		<-done
	})
}
