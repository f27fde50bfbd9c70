package httpapi

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/mqttdb/mqttdb/config"
)

// How long a request to drain waits if it does not say so, and at most.
const (
	defaultDrain = 30 * time.Second
	longestDrain = 24 * time.Hour
)

// drain waits until a queue is empty. It answers how many messages were left
// when the time was over: 0 says that it is empty.
func (s *Server) drain(w http.ResponseWriter, r *http.Request) {
	within := defaultDrain
	if text := r.URL.Query().Get("timeout"); text != "" {
		var err error
		if within, err = config.ParseDuration(text); err != nil || within > longestDrain {
			refuse(w, http.StatusBadRequest, fmt.Errorf("timeout %q", text), "timeout is a duration like 30s, up to 24h")
			return
		}
	}
	// The answer may come later than the server allows in general.
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(within + time.Minute))
	ctx, cancel := context.WithTimeout(r.Context(), within)
	defer cancel()
	name := r.PathValue("name")
	err := s.rt.Drain(ctx, name)
	if err != nil && !errors.Is(err, context.DeadlineExceeded) {
		fail(w, err)
		return
	}
	for _, status := range s.rt.Status() {
		if status.Name == name {
			answer(w, http.StatusOK, map[string]uint64{"pending": status.Outgoing.Pending})
			return
		}
	}
	refuse(w, http.StatusNotFound, fmt.Errorf("%q is not configured any more", name), "")
}
