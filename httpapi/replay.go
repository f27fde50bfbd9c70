package httpapi

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"

	"github.com/mqttdb/mqttdb/config"
	"github.com/mqttdb/mqttdb/types"
)

// replay sends again what was sent and is kept, and answers when that is stored.
func (s *Server) replay(w http.ResponseWriter, r *http.Request) {
	which, err := parseReplay(r)
	if err != nil {
		refuse(w, http.StatusBadRequest, err, "since is a duration like 20m, from the number of a message, topic an MQTT topic filter; again, retain and dry_run are true or false")
		return
	}
	within, ok := waiting(w, r)
	if !ok {
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), within)
	defer cancel()
	name := r.PathValue("name")
	did, err := s.rt.Replay(ctx, name, which)
	if errors.Is(err, context.DeadlineExceeded) {
		refuse(w, http.StatusGatewayTimeout, err, "it goes on by itself: ask for a longer timeout")
		return
	} else if err != nil {
		fail(w, err)
		return
	}
	if !which.DryRun {
		s.o.Logger.Info("what was sent is sent again by request", "conn", name, "messages", did.Count, "left_out", did.Left,
			"since", which.Since, "from_seq", which.From, "topic", which.Filter, "from", r.RemoteAddr)
	}
	answer(w, http.StatusOK, did)
}

// parseReplay reads which messages are meant.
func parseReplay(r *http.Request) (which types.Replay, err error) {
	query := r.URL.Query()
	if since := query.Get("since"); since != "" {
		if which.Since, err = config.ParseDuration(since); err != nil {
			return which, fmt.Errorf("since: %w", err)
		}
		if which.Since <= 0 {
			return which, errors.New("since: nothing was sent within no time")
		}
	}
	from, err := number(query.Get("from"), 0)
	if err != nil {
		return which, fmt.Errorf("from %w", err)
	}
	which.From, which.Filter = types.Seq(from), query.Get("topic")
	if which.Filter != "" {
		if err := types.CheckFilter(which.Filter); err != nil {
			return which, err
		}
	}
	for key, value := range map[string]*bool{"again": &which.Again, "retain": &which.Retain, "dry_run": &which.DryRun} {
		if text := query.Get(key); text != "" {
			if *value, err = strconv.ParseBool(text); err != nil {
				return which, fmt.Errorf("%s: %q is not true or false", key, text)
			}
		}
	}
	return which, nil
}
