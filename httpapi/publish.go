package httpapi

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"

	"github.com/mqttdb/mqttdb/types"
)

// publish stores a message for one connection, with the topic at its broker.
func (s *Server) publish(w http.ResponseWriter, r *http.Request) {
	m, ok := s.message(w, r)
	if !ok {
		return
	}
	seq, err := s.rt.Publish(r.Context(), r.PathValue("name"), m)
	if err != nil {
		fail(w, err)
		return
	}
	s.o.Logger.Debug("published by request", "conn", r.PathValue("name"), "topic", m.Topic, "seq", seq, "from", r.RemoteAddr)
	answer(w, http.StatusCreated, map[string]types.Seq{"seq": seq})
}

// forward takes a message as from a local client.
func (s *Server) forward(w http.ResponseWriter, r *http.Request) {
	wait := r.URL.Query().Get("wait")
	if wait != "" && wait != "stored" && wait != "delivered" {
		refuse(w, http.StatusBadRequest, fmt.Errorf("wait %q", wait), "wait is stored or delivered")
		return
	}
	within, ok := waiting(w, r)
	if !ok {
		return
	}
	m, ok := s.message(w, r)
	if !ok {
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), within)
	defer cancel()
	seqs, err := s.rt.Forward(ctx, m, wait == "delivered")
	if err == nil || len(seqs) > 0 {
		s.o.Logger.Debug("published by request", "topic", m.Topic, "seq", seqs, "from", r.RemoteAddr)
	}
	switch {
	case errors.Is(err, context.DeadlineExceeded) && len(seqs) > 0:
		refuse(w, http.StatusGatewayTimeout, fmt.Errorf("stored, and not delivered within %v", within), "mqttdb status shows why; it is delivered when the broker can be reached")
	case errors.Is(err, types.ErrNotDelivered):
		refuse(w, http.StatusConflict, err, "")
	case err != nil:
		fail(w, err)
	default:
		answer(w, http.StatusCreated, map[string]any{"seq": seqs})
	}
}

// message reads the message of a request. If it cannot the answer was given.
func (s *Server) message(w http.ResponseWriter, r *http.Request) (m types.Message, ok bool) {
	query := r.URL.Query()
	m = types.Message{Topic: query.Get("topic"), QoS: 1}
	if text := query.Get("qos"); text != "" {
		n, err := strconv.ParseUint(text, 10, 2)
		if err != nil || n > 2 {
			refuse(w, http.StatusBadRequest, fmt.Errorf("qos %q", text), "qos is 0, 1 or 2")
			return m, false
		}
		m.QoS = types.QoS(n)
	}
	if text := query.Get("retain"); text != "" {
		retain, err := strconv.ParseBool(text)
		if err != nil {
			refuse(w, http.StatusBadRequest, fmt.Errorf("retain %q", text), "retain is true or false")
			return m, false
		}
		m.Retain = retain
	}
	var err error
	if m.Payload, err = io.ReadAll(http.MaxBytesReader(w, r.Body, s.o.MaxMessageSize)); err != nil {
		var tooLarge *http.MaxBytesError
		if errors.As(err, &tooLarge) {
			err = fmt.Errorf("%w: the limit is %d bytes", types.ErrTooLarge, tooLarge.Limit)
		}
		fail(w, err)
		return m, false
	}
	return m, true
}

// waiting reads how long a request is to wait for what it asks, and allows its
// answer to come as late. If it cannot the answer was given.
func waiting(w http.ResponseWriter, r *http.Request) (time.Duration, bool) {
	within := defaultWait
	if text := r.URL.Query().Get("timeout"); text != "" {
		var err error
		if within, err = parseWait(text); err != nil {
			refuse(w, http.StatusBadRequest, fmt.Errorf("timeout %q", text), "timeout is a duration like 30s, up to 24h")
			return 0, false
		}
	}
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(within + time.Minute)) // else it comes within a minute, or not
	return within, true
}
