package httpapi

import (
	"errors"
	"net/http"
	"time"

	"github.com/mqttdb/mqttdb/runtime"
	"github.com/mqttdb/mqttdb/types"
)

// Reload says how the latest reading of the configuration ended.
type Reload struct {
	At    time.Time `json:"at"`    // when it was read
	Error string    `json:"error"` // why nothing was changed; "" if it counts
	runtime.Reloaded
}

// reload has the configuration read again.
func (s *Server) reload(w http.ResponseWriter, r *http.Request) {
	done, err := s.rt.Reload(r.Context(), "a request from "+r.RemoteAddr)
	s.o.Logger.Info("the configuration was read again by request", "error", err, "from", r.RemoteAddr)
	switch {
	case err == nil:
		answer(w, http.StatusOK, done)
	case errors.Is(err, types.ErrNeedsRestart):
		refuse(w, http.StatusConflict, err, "")
	case errors.Is(err, types.ErrClosed):
		fail(w, err)
	default:
		refuse(w, http.StatusUnprocessableEntity, err, "nothing was changed")
	}
}

// lastReload says how the last one ended; null if there was none.
func (s *Server) lastReload(w http.ResponseWriter, _ *http.Request) {
	answer(w, http.StatusOK, s.rt.LastReload())
}
