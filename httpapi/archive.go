package httpapi

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"

	"github.com/mqttdb/mqttdb/archive"
	"github.com/mqttdb/mqttdb/config"
	"github.com/mqttdb/mqttdb/types"
)

// Archive takes messages out of a runtime and puts them into it. Errors wrap
// types.ErrUnknownConnection and ErrUnknownQueue where those apply.
type Archive interface {
	// Export calls each with the messages that are meant, in order.
	Export(ctx context.Context, connection string, e types.Extract, each func(*types.Stored) error) error
	// Import stores messages behind all others, waiting for room, and returns how many
	// were new.
	Import(ctx context.Context, connection string, queue types.QueueName, list []types.Stored, again bool) (int, error)
}

// NDJSON is the type of what is exported and imported.
const NDJSON = "application/x-ndjson"

// stallTime is how long one who sends or takes an archive may do nothing.
const stallTime = 2 * time.Minute

// export writes messages as package archive has them, a line each. An answer that is
// cut off ends with an error of the protocol, and not as if it were whole.
func (s *Server) export(w http.ResponseWriter, r *http.Request) {
	name, query := r.PathValue("name"), r.URL.Query()
	e, err := parseExtract(r)
	if err != nil {
		refuse(w, http.StatusBadRequest, err, "topic is an MQTT topic filter, since a duration like 24h, after the number of a message")
		return
	}
	queue := e.Queue
	if queue == "" {
		queue = types.Outgoing
	}
	control := http.NewResponseController(w)
	begun, count := false, 0
	begin := func() {
		w.Header().Set("Content-Type", NDJSON)
		w.WriteHeader(http.StatusOK)
		begun = true
	}
	out := bufio.NewWriterSize(&patient{w: w, control: control}, 64<<10)
	lines := archive.NewWriter(out)
	err = s.rt.Export(r.Context(), name, e, func(m *types.Stored) error {
		if !begun {
			begin()
		}
		count++
		return lines.Write(&archive.Message{Connection: name, Queue: queue, Stored: *m})
	})
	switch {
	case err != nil && !begun:
		fail(w, err)
		return
	case err == nil && !begun:
		begin()
	}
	if err == nil {
		err = out.Flush()
	}
	if err != nil {
		s.o.Logger.Warn("an export was cut off", "conn", name, "queue", queue, "messages", count, "error", err)
		panic(http.ErrAbortHandler)
	}
	s.o.Logger.Info("exported by request", "conn", name, "queue", queue, "messages", count, "topic", e.Filter, "since", query.Get("since"), "from", r.RemoteAddr)
}

// patient is a writer whose client has stallTime for each write.
type patient struct {
	w       io.Writer
	control *http.ResponseController
}

func (p *patient) Write(b []byte) (int, error) {
	_ = p.control.SetWriteDeadline(time.Now().Add(stallTime))
	return p.w.Write(b)
}

func parseExtract(r *http.Request) (e types.Extract, err error) {
	query := r.URL.Query()
	e.Queue, e.Filter = types.QueueName(query.Get("queue")), query.Get("topic")
	if e.Filter != "" {
		if err := types.CheckFilter(e.Filter); err != nil {
			return e, err
		}
	}
	after, err := number(query.Get("after"), 0)
	if err != nil {
		return e, fmt.Errorf("after %w", err)
	}
	e.After = types.Seq(after)
	if since := query.Get("since"); since != "" {
		d, err := config.ParseDuration(since)
		if err != nil {
			return e, fmt.Errorf("since: %w", err)
		}
		e.Since = time.Now().Add(-d)
	}
	return e, nil
}

// imported answers what was imported, also if that ended before its time.
type imported struct {
	archive.Result
	Error string `json:"error,omitempty"`
	Hint  string `json:"hint,omitempty"`
}

// load imports the messages of the body, and answers when all are committed.
func (s *Server) load(w http.ResponseWriter, r *http.Request) {
	name, query := r.PathValue("name"), r.URL.Query()
	again := false
	if text := query.Get("again"); text != "" {
		var err error
		if again, err = strconv.ParseBool(text); err != nil {
			refuse(w, http.StatusBadRequest, fmt.Errorf("again %q", text), "again is true or false")
			return
		}
	}
	control := http.NewResponseController(w)
	_ = control.SetWriteDeadline(time.Time{})
	body := &impatient{r.Body, control}
	check := func(m *types.Message) error { return m.Check(int(s.o.MaxMessageSize)) }
	queue := types.QueueName(query.Get("queue"))
	// Whether it can be done is known before anything was read.
	_, err := s.rt.Import(r.Context(), name, queue, nil, again)
	if err != nil {
		fail(w, err)
		return
	}
	result, err := archive.Load(archive.NewReader(body), check, func(list []archive.Message) (archive.Result, error) {
		n, err := s.rt.Import(r.Context(), name, queue, archive.Stored(list), again)
		if err != nil {
			return archive.Result{Imported: uint64(n)}, err
		}
		return archive.Result{Imported: uint64(n), Known: uint64(len(list) - n)}, nil
	})
	_ = control.SetWriteDeadline(time.Now().Add(stallTime))
	s.o.Logger.Info("imported by request", "conn", name, "queue", queue, "imported", result.Imported, "known", result.Known, "refused", result.Refused, "error", err, "from", r.RemoteAddr)
	if err != nil {
		code, hint := classify(err)
		if errors.Is(err, errRead) {
			code = http.StatusBadRequest
		}
		answer(w, code, imported{result, err.Error(), hint})
		return
	}
	answer(w, http.StatusOK, imported{Result: result})
}

// impatient is a body whose client has stallTime for each read.
type impatient struct {
	r       io.Reader
	control *http.ResponseController
}

var errRead = errors.New("read what is to be imported")

func (i *impatient) Read(b []byte) (int, error) {
	_ = i.control.SetReadDeadline(time.Now().Add(stallTime))
	n, err := i.r.Read(b)
	if err != nil && err != io.EOF {
		err = fmt.Errorf("%w: %w", errRead, err)
	}
	return n, err
}
