package httpapi

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/mqttdb/mqttdb/types"
)

// compact gives back disk space, and answers when that is done.
func (s *Server) compact(w http.ResponseWriter, r *http.Request) {
	within, ok := waiting(w, r)
	if !ok {
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), within)
	defer cancel()
	name, queue := r.PathValue("name"), types.QueueName(r.URL.Query().Get("queue"))
	did, err := s.rt.Compact(ctx, name, queue)
	if errors.Is(err, context.DeadlineExceeded) {
		refuse(w, http.StatusGatewayTimeout, err, "it goes on by itself: ask for a longer timeout, or look at last_compaction in the status")
		return
	} else if err != nil {
		fail(w, err)
		return
	}
	s.o.Logger.Info("compacted by request", "conn", name, "queue", queue, "reclaimed", did.Reclaimed, "rewritten", did.Rewritten, "from", r.RemoteAddr)
	s.Note(Event{Connection: name, Kind: Compacted, Text: fmt.Sprintf("compacted by request: %d bytes were given back", did.Reclaimed)})
	answer(w, http.StatusOK, did)
}
