package httpapi

import (
	"fmt"
	"net/http"
	"slices"
)

// The verbs of a demonstration.
const (
	DemoCut  = "cut"  // the link to the broker
	DemoMend = "mend" // that link
	DemoFill = "fill" // the disk, as far as the gateway can tell
	DemoFree = "free" // that disk
	DemoKill = "kill" // the gateway, which is started again
)

// demo passes a verb on to whoever shows the demonstration. It answers before that:
// kill leaves nobody who could.
func (s *Server) demo(w http.ResponseWriter, r *http.Request) {
	verb := r.PathValue("verb")
	if s.o.Demo == nil || !slices.Contains([]string{DemoCut, DemoMend, DemoFill, DemoFree, DemoKill}, verb) {
		s.nothing(w, r)
		return
	}
	s.o.Logger.Info("demonstrated by request", "verb", verb, "from", r.RemoteAddr)
	answer(w, http.StatusAccepted, map[string]string{"status": verb})
	if err := http.NewResponseController(w).Flush(); err != nil {
		return
	}
	if err := s.o.Demo(verb); err != nil {
		s.o.Logger.Warn("the demonstration does not hear", "verb", verb, "error", fmt.Errorf("tell it: %w", err))
	}
}
