package httpapi

import (
	"errors"
	"fmt"
	"net/http"

	"github.com/mqttdb/mqttdb/types"
)

// route is a request that the server knows.
type route struct {
	method, path string
	handle       http.HandlerFunc
	open         bool  // also without a token
	body         int64 // how long a body may be, in bytes; 0: smallBody, -1: any
}

// smallBody is enough for a request that has no body.
const smallBody = 4 << 10

func (s *Server) routes() []route {
	message, archive := s.o.MaxMessageSize, int64(-1)
	connection := "/api/connections/{name}"
	list := []route{
		{"GET", "/healthz", s.healthy, true, 0},
		{"GET", "/readyz", s.ready, true, 0},
		{"GET", "/metrics", s.o.Metrics.Handler(s.rt.Status, s.o.Logger).ServeHTTP, false, 0},
		{"GET", "/api/openapi.json", describe(), false, 0},
		{"GET", "/api/stream", s.stream, false, 0},
		{"GET", "/api/events", s.listEvents, false, 0},
		{"GET", "/api/history", s.lastHour, false, 0},
		{"GET", "/api/connections", s.statuses, false, 0},
		{"GET", connection, s.status, false, 0},
		{"POST", connection + "/clear", s.clear, false, 0},
		{"POST", connection + "/publish", s.publish, false, message},
		{"POST", connection + "/pause", s.steer(s.rt.Pause, "paused"), false, 0},
		{"POST", connection + "/resume", s.steer(s.rt.Resume, "resumed"), false, 0},
		{"POST", connection + "/drain", s.drain, false, 0},
		{"POST", connection + "/compact", s.compact, false, 0},
		{"POST", connection + "/replay", s.replay, false, 0},
		{"GET", connection + "/messages", s.messages, false, 0},
		{"GET", connection + "/export", s.export, false, 0},
		{"POST", connection + "/import", s.load, false, archive},
		{"POST", connection + "/messages/{seq}/requeue", s.requeue, false, 0},
		{"DELETE", connection + "/messages/{seq}", s.remove, false, 0},
		{"GET", connection + "/consumers", s.consumers, false, 0},
		{"DELETE", connection + "/consumers/{consumer}", s.removeConsumer, false, 0},
		{"POST", "/api/publish", s.forward, false, message},
		{"POST", "/api/reload", s.reload, false, 0},
		{"GET", "/api/reload", s.lastReload, false, 0},
	}
	if s.o.Demo != nil {
		list = append(list, route{"POST", "/api/demo/{verb}", s.demo, false, 0})
	}
	return list
}

func (s *Server) mux() *http.ServeMux {
	mux := http.NewServeMux()
	for _, r := range append(s.routes(), pageRoutes()...) {
		mux.Handle(r.method+" "+r.path, s.bounded(r))
	}
	mux.HandleFunc("/", s.nothing)
	return mux
}

// bounded lets only those requests come to a route that may, with a body that is not
// too long.
func (s *Server) bounded(to route) http.Handler {
	most := to.body
	if most == 0 {
		most = smallBody
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !to.open && !s.admit(w, r) {
			return
		}
		if modifies(r) && !meant(r) {
			err := errors.New("nothing shows that this was sent on purpose, and not by a page of another site")
			s.refused(r, err)
			refuse(w, http.StatusForbidden, err, "send the header "+sentByUs+": 1")
			return
		}
		if most > 0 {
			if r.ContentLength > most {
				err := fmt.Errorf("the body is too long: the limit is %d bytes", most)
				if to.body > 0 {
					err = fmt.Errorf("%w: the limit is %d bytes", types.ErrTooLarge, most)
				}
				refuse(w, http.StatusRequestEntityTooLarge, err, "")
				return
			}
			r.Body = http.MaxBytesReader(w, r.Body, most)
		}
		to.handle(w, r)
	})
}

func (s *Server) healthy(w http.ResponseWriter, _ *http.Request) {
	answer(w, http.StatusOK, map[string]string{"status": "ok"})
}

func (s *Server) nothing(w http.ResponseWriter, r *http.Request) {
	refuse(w, http.StatusNotFound, fmt.Errorf("no such page: %s %s", r.Method, r.URL.Path), "see mqttdb status, or GET /api/connections; what an orphan has can be seen when it is configured again")
}
