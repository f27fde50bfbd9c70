package httpapi

import (
	"fmt"
	"net/http"
	"sync"
	"time"
)

// Event is something that happened and that an operator may want to know of.
type Event struct {
	ID         uint64 `json:"id"`         // from 1, rising; begins anew with the gateway
	At         int64  `json:"at"`         // ms since 1970
	Connection string `json:"connection"` // "" if it is about the gateway
	Kind       Kind   `json:"kind"`
	Text       string `json:"text"`
	Hint       string `json:"hint"` // what to do about it; "": nothing
}

// Kind is what sort of event one is.
type Kind string

// The kinds that there are.
const (
	Connected    Kind = "connected"
	Disconnected Kind = "disconnected"
	Failed       Kind = "failed" // an attempt to connect
	Refused      Kind = "refused"
	Stalled      Kind = "stalled"
	Paused       Kind = "paused"
	Resumed      Kind = "resumed"
	Dropped      Kind = "dropped"
	Expired      Kind = "expired"
	Dead         Kind = "dead"   // messages were set aside as dead letters
	Damage       Kind = "damage" // messages could not be read any more
	Disk         Kind = "disk"   // a queue cannot store, or can again
	Full         Kind = "full"
	Cleared      Kind = "cleared"
	Compacted    Kind = "compacted" // by request
	Reloaded     Kind = "reloaded"
)

// keptEvents is how many events are remembered.
const keptEvents = 500

// events are the latest ones. They may be used concurrently.
type events struct {
	mu   sync.Mutex
	last uint64
	kept []Event // in order, at most keptEvents
}

// add gives e its number and keeps it.
func (l *events) add(e Event) Event {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.last++
	e.ID = l.last
	if len(l.kept) == keptEvents {
		l.kept = l.kept[:copy(l.kept, l.kept[1:])]
	}
	l.kept = append(l.kept, e)
	return e
}

// after returns those with higher numbers, in order; if there are more than limit,
// the latest of them.
func (l *events) after(id uint64, limit int) []Event {
	l.mu.Lock()
	defer l.mu.Unlock()
	from := 0
	for from < len(l.kept) && l.kept[from].ID <= id {
		from++
	}
	from = max(from, len(l.kept)-limit)
	return append([]Event{}, l.kept[from:]...)
}

// Note adds an event that no status tells; its ID and At are given to it.
func (s *Server) Note(e Event) {
	e.At = time.Now().UnixMilli()
	s.hub.tell(s.events.add(e))
}

// defaultEvents is how many events an answer has unless limit says otherwise.
const defaultEvents = 200

func (s *Server) listEvents(w http.ResponseWriter, r *http.Request) {
	query := r.URL.Query()
	after, err := number(query.Get("after"), 0)
	if err != nil {
		refuse(w, http.StatusBadRequest, fmt.Errorf("after %w", err), "after is the id of an event")
		return
	}
	limit, err := number(query.Get("limit"), defaultEvents)
	if err != nil || limit == 0 {
		refuse(w, http.StatusBadRequest, fmt.Errorf("limit %q", query.Get("limit")), fmt.Sprintf("limit is a number from 1 to %d", keptEvents))
		return
	}
	answer(w, http.StatusOK, s.events.after(after, int(min(limit, keptEvents))))
}
