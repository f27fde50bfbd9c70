package httpapi

import (
	"context"
	"fmt"
	"net/http"

	"github.com/mqttdb/mqttdb/types"
)

// Consumers are the durable consumers of incoming queues. Errors wrap
// types.ErrUnknownConnection where that applies.
type Consumers interface {
	// Consumers lists those of a connection.
	Consumers(ctx context.Context, connection string) ([]types.ConsumerStatus, error)
	// RemoveConsumer ends a named subscription, and says whether there was one.
	RemoveConsumer(ctx context.Context, connection, consumer string) (bool, error)
}

func (s *Server) consumers(w http.ResponseWriter, r *http.Request) {
	list, err := s.rt.Consumers(r.Context(), r.PathValue("name"))
	if err != nil {
		fail(w, err)
		return
	}
	answer(w, http.StatusOK, list)
}

func (s *Server) removeConsumer(w http.ResponseWriter, r *http.Request) {
	name, consumer := r.PathValue("name"), r.PathValue("consumer")
	had, err := s.rt.RemoveConsumer(r.Context(), name, consumer)
	switch {
	case err != nil:
		fail(w, err)
	case !had:
		refuse(w, http.StatusNotFound, fmt.Errorf("no named subscription %q", consumer),
			"GET …/consumers lists them; those of kind relay and local are there as long as the configuration says so")
	default:
		s.o.Logger.Info("a named subscription was removed by request", "conn", name, "consumer", consumer, "from", r.RemoteAddr)
		answer(w, http.StatusOK, map[string]string{"removed": consumer})
	}
}
