package httpapi

import (
	"fmt"
	"net/http"

	"github.com/mqttdb/mqttdb/types"
)

// Readiness says whether messages are taken.
type Readiness struct {
	Status string `json:"status"` // ready or not_ready
	Reason string `json:"reason,omitempty"`
}

// ready answers probes, which have no token: it names no connection. Brokers need not
// be reachable for messages to be taken.
func (s *Server) ready(w http.ResponseWriter, _ *http.Request) {
	if reason := unready(s.stopping.Load(), s.rt.Status()); reason != "" {
		answer(w, http.StatusServiceUnavailable, Readiness{"not_ready", reason})
		return
	}
	answer(w, http.StatusOK, Readiness{Status: "ready"})
}

func unready(stopping bool, all []types.Status) string {
	if stopping {
		return "the gateway is stopping"
	}
	unread := 0
	for _, s := range all {
		for _, q := range []types.QueueStatus{s.Outgoing, s.Incoming} {
			if q.Unread {
				unread++
			}
		}
	}
	if unread > 0 {
		return fmt.Sprintf("%d queues could not be opened since the start: mqttdb status says why", unread)
	}
	return ""
}
