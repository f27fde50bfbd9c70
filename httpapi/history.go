package httpapi

import (
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/mqttdb/mqttdb/types"
)

// The last hour is remembered, in steps.
const (
	historyStep = 10 * time.Second
	historyLen  = int(time.Hour / historyStep)
)

// sample is what is remembered of a step.
type sample struct {
	taken                                    bool
	pending, accepted, sent, incomingPending uint64
}

// series is what is remembered of a connection: one sample for each step from the
// first on.
type series struct {
	first   int64 // step since 1970
	samples []sample
}

// history is what the queues held in the last hour. It may be used concurrently.
type history struct {
	mu     sync.Mutex
	series map[string]*series
}

// add remembers the statuses of the step that at is in, unless it has that.
func (h *history) add(at time.Time, all []types.Status) {
	h.mu.Lock()
	defer h.mu.Unlock()
	step := at.UnixMilli() / historyStep.Milliseconds()
	kept := make(map[string]*series, len(all))
	for _, s := range all {
		one := h.series[s.Name]
		if one == nil {
			one = &series{first: step}
		}
		one.add(step, sample{!s.Outgoing.Unread, s.Outgoing.Pending, s.Outgoing.Accepted, s.Outgoing.Sent, s.Incoming.Pending})
		kept[s.Name] = one
	}
	h.series = kept // without those that are gone
}

func (s *series) add(step int64, now sample) {
	next := s.first + int64(len(s.samples))
	if step < next-1 || step >= next+int64(historyLen) { // the clock was set, or all is too old
		s.first, s.samples, next = step, nil, step
	}
	if step < next {
		return
	}
	for ; next < step; next++ {
		s.samples = append(s.samples, sample{})
	}
	s.samples = append(s.samples, now)
	if old := len(s.samples) - historyLen; old > 0 {
		s.samples = s.samples[:copy(s.samples, s.samples[old:])]
		s.first += int64(old)
	}
}

// History is the last hour of some connections.
type History struct {
	Step        int64             `json:"step_ms"`
	Connections map[string]Series `json:"connections"`
}

// Series is the last hour of a connection: its counters as they stood at each step,
// null where nobody knows. Rates are differences.
type Series struct {
	First           int64     `json:"first_ms"` // of the first step, ms since 1970
	Pending         []*uint64 `json:"pending"`
	Accepted        []*uint64 `json:"accepted"`
	Sent            []*uint64 `json:"sent"`
	IncomingPending []*uint64 `json:"incoming_pending"`
}

// of returns what is remembered of the named connection, or of all if name is "".
func (h *history) of(name string) (History, bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	out := History{Step: historyStep.Milliseconds(), Connections: map[string]Series{}}
	for each, s := range h.series {
		if name == "" || name == each {
			out.Connections[each] = s.columns()
		}
	}
	return out, name == "" || len(out.Connections) > 0
}

func (s *series) columns() Series {
	out := Series{First: s.first * historyStep.Milliseconds()}
	column := func(value func(*sample) uint64) []*uint64 {
		list := make([]*uint64, len(s.samples))
		for i := range s.samples {
			if s.samples[i].taken {
				n := value(&s.samples[i])
				list[i] = &n
			}
		}
		return list
	}
	out.Pending = column(func(s *sample) uint64 { return s.pending })
	out.Accepted = column(func(s *sample) uint64 { return s.accepted })
	out.Sent = column(func(s *sample) uint64 { return s.sent })
	out.IncomingPending = column(func(s *sample) uint64 { return s.incomingPending })
	return out
}

func (s *Server) lastHour(w http.ResponseWriter, r *http.Request) {
	name := r.URL.Query().Get("connection")
	h, ok := s.history.of(name)
	if !ok {
		fail(w, fmt.Errorf("%w: %q", types.ErrUnknownConnection, name))
		return
	}
	answer(w, http.StatusOK, h)
}
