package httpapi

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/mqttdb/mqttdb/config"
	"github.com/mqttdb/mqttdb/types"
)

// How long a request waits if it does not say so, and at most.
const (
	defaultWait = 30 * time.Second
	longestWait = 24 * time.Hour
)

func parseWait(text string) (time.Duration, error) {
	d, err := config.ParseDuration(text)
	if err == nil && d > longestWait {
		err = errors.New("too long")
	}
	return d, err
}

// drain waits until everything has been sent to a broker. It answers how many messages
// were left when the time was over, 0 if none were; of these, relayed is how many are
// stored with those of the broker that they came from.
func (s *Server) drain(w http.ResponseWriter, r *http.Request) {
	within, ok := waiting(w, r)
	if !ok {
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), within)
	defer cancel()
	name := r.PathValue("name")
	err := s.rt.Drain(ctx, name)
	if err != nil && !errors.Is(err, context.DeadlineExceeded) {
		fail(w, err)
		return
	}
	s.o.Logger.Info("waited for by request until all is sent", "conn", name, "all", err == nil, "from", r.RemoteAddr)
	var left *types.DrainError
	errors.As(err, &left)
	for _, status := range s.rt.Status() {
		if status.Name == name && status.Outgoing.Unread {
			refuse(w, http.StatusServiceUnavailable, fmt.Errorf("nobody knows what is pending on %s: %s", name, status.Outgoing.Trouble), "")
			return
		}
		if status.Name == name && left != nil {
			answer(w, http.StatusOK, map[string]uint64{"pending": left.Pending + left.Relayed, "relayed": left.Relayed})
			return
		}
		if status.Name == name {
			answer(w, http.StatusOK, map[string]uint64{"pending": status.Outgoing.Pending})
			return
		}
	}
	refuse(w, http.StatusNotFound, fmt.Errorf("%q is not configured any more", name), "")
}
