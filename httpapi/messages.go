package httpapi

import (
	"context"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/mqttdb/mqttdb/types"
)

// Messages are those that a runtime has stored. Errors wrap
// types.ErrUnknownConnection, ErrUnknownQueue, ErrUnknownMessage and ErrInFlight
// where those apply.
type Messages interface {
	// Messages returns those above after, in order, at most limit.
	Messages(ctx context.Context, connection string, queue types.QueueName, after types.Seq, limit int) ([]types.Stored, error)
	// Requeue puts a dead letter into its queue again and returns its new number.
	Requeue(ctx context.Context, connection string, queue types.QueueName, seq types.Seq) (types.Seq, error)
	// Remove forgets one message.
	Remove(ctx context.Context, connection string, queue types.QueueName, seq types.Seq) error
}

// Message is a stored message as GET …/messages shows it.
type Message struct {
	Seq      types.Seq `json:"seq"`
	Topic    string    `json:"topic"`
	QoS      types.QoS `json:"qos"`
	Retain   bool      `json:"retain"`
	Payload  []byte    `json:"payload"` // base64
	Accepted time.Time `json:"accepted"`
	Cause    string    `json:"cause,omitempty"` // why a dead letter was set aside

	Original *time.Time `json:"original,omitempty"` // when it was first accepted, if it is a replay
}

// How many messages one answer has.
const (
	fewMessages  = 100 // unless limit says otherwise
	mostMessages = 1000
)

func (s *Server) messages(w http.ResponseWriter, r *http.Request) {
	query := r.URL.Query()
	after, err := number(query.Get("after"), 0)
	if err != nil {
		refuse(w, http.StatusBadRequest, fmt.Errorf("after %w", err), "after is the number of a message")
		return
	}
	limit, err := number(query.Get("limit"), fewMessages)
	if err != nil || limit == 0 {
		refuse(w, http.StatusBadRequest, fmt.Errorf("limit %q", query.Get("limit")), fmt.Sprintf("limit is a number from 1 to %d", mostMessages))
		return
	}
	list, err := s.rt.Messages(r.Context(), r.PathValue("name"), types.QueueName(query.Get("queue")), types.Seq(after), int(min(limit, mostMessages)))
	if err != nil {
		fail(w, err)
		return
	}
	out := make([]Message, len(list))
	for i := range list {
		out[i] = MessageOf(&list[i])
	}
	answer(w, http.StatusOK, out)
}

// MessageOf returns m as it is shown.
func MessageOf(m *types.Stored) Message {
	out := Message{m.Seq, m.Message.Topic, m.Message.QoS, m.Message.Retain, m.Message.Payload, m.Accepted, m.Cause, nil}
	if !m.Original.IsZero() {
		out.Original = &m.Original
	}
	if out.Payload == nil {
		out.Payload = []byte{}
	}
	return out
}

func (s *Server) requeue(w http.ResponseWriter, r *http.Request) {
	seq, ok := s.seq(w, r)
	if !ok {
		return
	}
	queue := types.QueueName(r.URL.Query().Get("queue"))
	if queue != "" && queue != types.DeadLetters && queue != types.IncomingDead {
		refuse(w, http.StatusBadRequest, fmt.Errorf("%w: %q", types.ErrUnknownQueue, queue), "only dead letters can be put into the queue again: queue is dead or incoming_dead")
		return
	}
	again, err := s.rt.Requeue(r.Context(), r.PathValue("name"), queue, seq)
	if err != nil {
		fail(w, err)
		return
	}
	s.o.Logger.Info("a dead letter was put into the queue again by request", "conn", r.PathValue("name"), "queue", queue, "seq", seq, "new_seq", again, "from", r.RemoteAddr)
	answer(w, http.StatusOK, map[string]types.Seq{"seq": again})
}

func (s *Server) remove(w http.ResponseWriter, r *http.Request) {
	seq, ok := s.seq(w, r)
	if !ok {
		return
	}
	queue := types.QueueName(r.URL.Query().Get("queue"))
	if err := s.rt.Remove(r.Context(), r.PathValue("name"), queue, seq); err != nil {
		fail(w, err)
		return
	}
	s.o.Logger.Info("a message was removed by request", "conn", r.PathValue("name"), "queue", queue, "seq", seq, "from", r.RemoteAddr)
	answer(w, http.StatusOK, map[string]types.Seq{"removed": seq})
}

// seq is the number of the message in the path; if it is none, that was answered.
func (s *Server) seq(w http.ResponseWriter, r *http.Request) (types.Seq, bool) {
	n, err := strconv.ParseUint(r.PathValue("seq"), 10, 63)
	if err != nil {
		refuse(w, http.StatusBadRequest, fmt.Errorf("message %q", r.PathValue("seq")), "a message is named by its number")
	}
	return types.Seq(n), err == nil
}

// number reads a number; "" is what is said.
func number(text string, otherwise uint64) (uint64, error) {
	if text == "" {
		return otherwise, nil
	}
	n, err := strconv.ParseUint(text, 10, 63)
	if err != nil {
		return 0, fmt.Errorf("%q is not a number", text)
	}
	return n, nil
}
