//go:build !js

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/mqttdb/mqttdb"
	"github.com/mqttdb/mqttdb/config"
	"github.com/mqttdb/mqttdb/httpapi"
	"github.com/mqttdb/mqttdb/types"
)

// gateway is a running gateway, reached by its HTTP API.
type gateway struct {
	base   string // http://host:port, or https
	token  string // "": it wants none
	client *http.Client
}

// gatewayOf returns the gateway of a configuration.
func gatewayOf(h *config.HTTP) (gateway, error) {
	token, err := readToken(h)
	if err != nil {
		return gateway{}, err
	}
	client, err := clientOf(h)
	if err != nil {
		return gateway{}, err
	}
	return gateway{base: scheme(h) + "://" + reachable(h.Listen), token: token, client: client}, nil
}

// scheme is that of URLs of the HTTP API.
func scheme(h *config.HTTP) string {
	if h.TLS.CertFile != "" {
		return "https"
	}
	return "http"
}

// statuses fetches the statuses of all connections.
func (g gateway) statuses(ctx context.Context) ([]types.Status, error) {
	var out []types.Status
	return out, g.call(ctx, http.MethodGet, "/api/connections", nil, &out)
}

// clear forgets messages and returns how many.
func (g gateway) clear(ctx context.Context, connection string, query url.Values) (uint64, error) {
	var out struct{ Cleared uint64 }
	err := g.call(ctx, http.MethodPost, "/api/connections/"+url.PathEscape(connection)+"/clear", query, &out)
	return out.Cleared, err
}

// steer pauses or resumes a connection.
func (g gateway) steer(ctx context.Context, connection, verb string) error {
	var out struct{ Status string }
	return g.call(ctx, http.MethodPost, "/api/connections/"+url.PathEscape(connection)+"/"+verb, nil, &out)
}

// drain waits until nothing is pending on a connection, and returns how much was
// when the time was over.
func (g gateway) drain(ctx context.Context, connection string, within time.Duration) (uint64, error) {
	var out struct{ Pending uint64 }
	ctx, cancel := context.WithTimeout(ctx, within+callTime)
	defer cancel()
	query := url.Values{"timeout": {within.String()}}
	err := g.send(ctx, http.MethodPost, "/api/connections/"+url.PathEscape(connection)+"/drain", query, nil, &out)
	return out.Pending, err
}

// deliver publishes m as a local client would and waits until every broker that it
// is for has it. It returns the connections that it went to.
func (g gateway) deliver(ctx context.Context, m types.Message, within time.Duration) (map[string]types.Seq, error) {
	var out struct{ Seq map[string]types.Seq }
	ctx, cancel := context.WithTimeout(ctx, within+callTime)
	defer cancel()
	query := url.Values{
		"topic": {m.Topic}, "qos": {strconv.Itoa(int(m.QoS))}, "retain": {strconv.FormatBool(m.Retain)},
		"wait": {"delivered"}, "timeout": {within.String()},
	}
	err := g.send(ctx, http.MethodPost, "/api/publish", query, bytes.NewReader(m.Payload), &out)
	return out.Seq, err
}

// reload has the configuration read again.
func (g gateway) reload(ctx context.Context) (mqttdb.Reloaded, error) {
	var out mqttdb.Reloaded
	return out, g.call(ctx, http.MethodPost, "/api/reload", nil, &out)
}

// lastReload asks how the latest reload ended; nil if there was none.
func (g gateway) lastReload(ctx context.Context) (*httpapi.Reload, error) {
	var out *httpapi.Reload
	return out, g.call(ctx, http.MethodGet, "/api/reload", nil, &out)
}

// callTime is how long an answer may take that nothing is waited for.
const callTime = 30 * time.Second

func (g gateway) call(ctx context.Context, method, path string, query url.Values, out any) error {
	ctx, cancel := context.WithTimeout(ctx, callTime)
	defer cancel()
	return g.send(ctx, method, path, query, nil, out)
}

// noGateway says that there is none at that address.
type noGateway struct{ base string }

func (e *noGateway) Error() string {
	return fmt.Sprintf("no gateway answers at %s: is it running (mqttdb serve) with the same configuration?", e.base)
}

// refusal is an answer of the gateway that it does not do what it was asked.
type refusal struct {
	code int
	text string
	body []byte
}

func (e *refusal) Error() string { return e.text }

// isRefusal says whether err is one with that code.
func isRefusal(err error, code int) bool {
	var r *refusal
	return errors.As(err, &r) && r.code == code
}

func (g gateway) send(ctx context.Context, method, path string, query url.Values, body io.Reader, out any) error {
	return g.do(ctx, method, path, query, body, func(r io.Reader) error {
		text, err := io.ReadAll(io.LimitReader(r, 64<<20))
		if err != nil {
			return fmt.Errorf("read the gateway's answer: %w", err)
		}
		if err := json.Unmarshal(text, out); err != nil {
			return fmt.Errorf("%s did not answer as a mqttdb gateway does: %w", g.base, err)
		}
		return nil
	})
}

// read calls each with the body of an answer, however long that is.
func (g gateway) read(ctx context.Context, path string, query url.Values, each func(io.Reader) error) error {
	return g.do(ctx, http.MethodGet, path, query, nil, each)
}

func (g gateway) do(ctx context.Context, method, path string, query url.Values, body io.Reader, each func(io.Reader) error) error {
	req, err := http.NewRequestWithContext(ctx, method, g.base+path+"?"+query.Encode(), body)
	if err != nil {
		return err
	}
	req.Host = "localhost" // by that name it is always known
	req.Header.Set("X-Mqttdb", "1")
	if g.token != "" {
		req.Header.Set("Authorization", "Bearer "+g.token)
	}
	res, err := g.client.Do(req)
	if errors.Is(err, syscall.ECONNREFUSED) {
		return &noGateway{g.base}
	} else if err != nil {
		return fmt.Errorf("ask the gateway: %w", err)
	}
	defer res.Body.Close()
	if res.StatusCode < 300 {
		return each(res.Body)
	}
	text, err := io.ReadAll(io.LimitReader(res.Body, 64<<20))
	if err != nil {
		return fmt.Errorf("read the gateway's answer: %w", err)
	}
	var problem struct{ Error, Hint string }
	if json.Unmarshal(text, &problem) != nil || problem.Error == "" {
		return fmt.Errorf("%s answered %s: is that a mqttdb gateway?", g.base, res.Status)
	}
	if !strings.Contains(problem.Error, problem.Hint) {
		problem.Error += " (" + problem.Hint + ")"
	}
	return &refusal{res.StatusCode, problem.Error, text}
}
