package httpapi_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"github.com/mqttdb/mqttdb/httpapi"
	"github.com/mqttdb/mqttdb/types"
)

// message is one of the stream.
type message struct {
	Type        string
	Version     string
	At          int64
	Demo        bool
	Connections []types.Status
	Orphans     []types.Status
	Order       []string
	Names       []string
	Event       httpapi.Event
}

// follower is a client of the stream.
type follower struct {
	*testing.T
	conn *websocket.Conn
}

func follow(t *testing.T, s *httpapi.Server) *follower {
	t.Helper()
	conn, _, err := websocket.DefaultDialer.DialContext(t.Context(), "ws://"+s.Addr().String()+"/api/stream", nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return &follower{t, conn}
}

func (f *follower) next() message {
	f.Helper()
	_ = f.conn.SetReadDeadline(time.Now().Add(10 * time.Second))
	_, text, err := f.conn.ReadMessage()
	if err != nil {
		f.Fatal(err)
	}
	var m message
	if err := json.Unmarshal(text, &m); err != nil {
		f.Fatalf("%s: %v", text, err)
	}
	return m
}

// of waits for the next message of a type.
func (f *follower) of(kind string) message {
	f.Helper()
	for {
		if m := f.next(); m.Type == kind {
			return m
		}
	}
}

func online(name string, pending uint64) types.Status {
	return types.Status{Name: name, State: types.Online, Broker: "mqtt://b", Outgoing: types.QueueStatus{Pending: pending}, Incoming: types.EmptyQueueStatus()}
}

func names(list []types.Status) (all []string) {
	for _, s := range list {
		all = append(all, s.Name)
	}
	return all
}

func TestStream(t *testing.T) {
	rt := &fakeRuntime{watched: make(chan []types.Status)}
	s := listen(t, rt, func(o *httpapi.Options) { o.Demo = func(string) error { return nil } })
	f := follow(t, s)
	m := f.next()
	if m.Type != "hello" || m.Version != "1.2.3" || !m.Demo || m.At == 0 || !slices.Equal(names(m.Connections), []string{"cloud"}) || m.Orphans == nil || !slices.Equal(m.Order, []string{"cloud"}) {
		t.Fatalf("hello is %+v", m)
	}
	orphan := types.Status{Name: "lost", State: types.Offline, Orphan: true}
	rt.watched <- []types.Status{online("cloud", 7), online("edge", 0), orphan}
	if m = f.of("status"); !slices.Equal(names(m.Connections), []string{"cloud", "edge", "lost"}) {
		t.Errorf("status is %+v", m)
	}
	rt.watched <- []types.Status{online("cloud", 8), online("edge", 0), orphan}
	if m = f.of("status"); !slices.Equal(names(m.Connections), []string{"cloud"}) || m.Connections[0].Outgoing.Pending != 8 {
		t.Errorf("what has changed is %+v", m)
	}
	later := time.Now().UnixMilli() + 1
	for time.Now().UnixMilli() < later { // for less than a millisecond
	}
	if m = follow(t, s).next(); m.At < later || !slices.Equal(names(m.Connections), []string{"cloud", "edge"}) || !slices.Equal(names(m.Orphans), []string{"lost"}) || len(m.Order) != 3 {
		t.Errorf("a later hello is %+v", m)
	}
	rt.watched <- []types.Status{online("cloud", 8)}
	if m = f.of("gone"); !slices.Equal(m.Names, []string{"edge", "lost"}) {
		t.Errorf("gone are %+v", m)
	}
	s.Note(httpapi.Event{Kind: httpapi.Reloaded, Text: "<b>new</b>", Hint: "h"})
	if m = f.of("event"); m.Event.Kind != httpapi.Reloaded || m.Event.Text != "<b>new</b>" || m.Event.ID == 0 || m.Event.At == 0 {
		t.Errorf("event is %+v", m)
	}
	code, text := call(t, "GET", "http://"+s.Addr().String()+"/api/connections", "", nil)
	var all []types.Status
	if err := json.Unmarshal([]byte(text), &all); code != 200 || err != nil {
		t.Fatalf("%d %s %v", code, text, err)
	}
}

// However fast something changes, a client gets four statuses a second, and the
// latest at last.
func TestStreamPace(t *testing.T) {
	rt := &fakeRuntime{watched: make(chan []types.Status)}
	f := follow(t, listen(t, rt, func(*httpapi.Options) {}))
	began := time.Now()
	const last = 3000
	go func() {
		for n := range uint64(last + 1) {
			rt.watched <- []types.Status{online("cloud", n), online(fmt.Sprint("c", n%7), n)}
		}
	}()
	for got := 0; ; {
		m := f.of("status")
		got++
		for _, c := range m.Connections {
			if c.Name == "cloud" && c.Outgoing.Pending == last {
				if most := 2 + int(time.Since(began)/(250*time.Millisecond)); got > most {
					t.Errorf("%d statuses in %v", got, time.Since(began))
				}
				return
			}
		}
	}
}

// A client that does not read holds up neither the runtime nor other clients, and
// what waits for it is bounded.
func TestStreamOfOneWhoDoesNotRead(t *testing.T) {
	rt := &fakeRuntime{watched: make(chan []types.Status)}
	s := listen(t, rt, func(*httpapi.Options) {})
	small := websocket.Dialer{NetDialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
		conn, err := (&net.Dialer{}).DialContext(ctx, network, addr)
		if err == nil {
			err = conn.(*net.TCPConn).SetReadBuffer(4 << 10)
		}
		return conn, err
	}}
	stuck, _, err := small.DialContext(t.Context(), "ws://"+s.Addr().String()+"/api/stream", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer stuck.Close()
	f := follow(t, s)
	big := strings.Repeat("x", 1<<20)
	slowest := time.Duration(0)
	for n := range uint64(40) {
		status := online("cloud", n)
		status.LastError = big
		began := time.Now()
		rt.watched <- []types.Status{status}
		slowest = max(slowest, time.Since(began))
		s.Note(httpapi.Event{Kind: httpapi.Reloaded, Text: big})
	}
	if slowest > 2*time.Second {
		t.Errorf("the runtime was held up for %v", slowest)
	}
	for m := f.of("status"); m.Connections[0].Outgoing.Pending != 39; m = f.of("status") {
	}
}

// There is a limit to how many look, and one who leaves makes room.
func TestStreamLimit(t *testing.T) {
	s := listen(t, &fakeRuntime{}, func(*httpapi.Options) {})
	var all []*follower
	for range httpapi.MaxStreams {
		f := follow(t, s)
		f.of("hello")
		all = append(all, f)
	}
	dial := func() (int, error) {
		conn, res, err := websocket.DefaultDialer.DialContext(t.Context(), "ws://"+s.Addr().String()+"/api/stream", nil)
		if err == nil {
			conn.Close()
		}
		if res == nil {
			return 0, err
		}
		return res.StatusCode, err
	}
	if code, err := dial(); code != http.StatusServiceUnavailable {
		t.Errorf("one too many: %d %v", code, err)
	}
	all[0].conn.Close()
	deadline := time.Now().Add(10 * time.Second)
	for code, _ := dial(); code != http.StatusSwitchingProtocols; code, _ = dial() {
		if time.Now().After(deadline) {
			t.Fatalf("who leaves makes no room: %d", code)
		}
	}
}

// A gateway that stops says so to those who look, and does not wait for one who does
// not read.
func TestStreamEnds(t *testing.T) {
	rt := &fakeRuntime{watched: make(chan []types.Status)}
	s := listen(t, rt, func(*httpapi.Options) {})
	f, stuck := follow(t, s), follow(t, s)
	f.of("hello")
	big := online("cloud", 1)
	for n := range uint64(20) {
		big.LastError, big.Outgoing.Pending = strings.Repeat("x", 1<<20), n
		rt.watched <- []types.Status{big}
	}
	go func() {
		for {
			if _, _, err := stuck.conn.NextReader(); err != nil || t.Context().Err() != nil {
				return
			}
			<-t.Context().Done()
		}
	}()
	ended := make(chan error, 1)
	go func() {
		for {
			if _, _, err := f.conn.ReadMessage(); err != nil {
				ended <- err
				return
			}
		}
	}()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	began := time.Now()
	if err := s.Close(ctx); err != nil {
		t.Error(err)
	}
	if took := time.Since(began); took > 3*time.Second {
		t.Errorf("it took %v", took)
	}
	if err := <-ended; !websocket.IsCloseError(err, websocket.CloseGoingAway) {
		t.Errorf("it ended with %v", err)
	}
}

func TestStreamWithoutWebSocket(t *testing.T) {
	if code, text := call(t, "GET", start(t, &fakeRuntime{})+"/api/stream", "", nil); code != 400 || !strings.Contains(text, "GET /api/connections answers once") {
		t.Errorf("%d %s", code, text)
	}
}

func TestEvents(t *testing.T) {
	rt := &fakeRuntime{}
	s := listen(t, rt, func(*httpapi.Options) {})
	for n := range 600 {
		s.Note(httpapi.Event{Connection: "cloud", Kind: httpapi.Cleared, Text: fmt.Sprint(n)})
	}
	for _, c := range []struct {
		query       string
		count, last int
	}{{"", 200, 599}, {"?limit=2", 2, 599}, {"?limit=9999", 500, 599}, {"?after=599", 2, 599}, {"?after=700", 0, 0}} {
		code, text := call(t, "GET", "http://"+s.Addr().String()+"/api/events"+c.query, "", nil)
		var list []httpapi.Event
		if err := json.Unmarshal([]byte(text), &list); code != 200 || err != nil || list == nil || len(list) != c.count {
			t.Fatalf("%s: %d, %d events, %v", c.query, code, len(list), err)
		}
		for i, e := range list {
			if i > 0 && e.ID != list[i-1].ID+1 {
				t.Errorf("%s: %d follows on %d", c.query, e.ID, list[i-1].ID)
			}
		}
		if c.count > 0 && list[len(list)-1].Text != fmt.Sprint(c.last) {
			t.Errorf("%s: the last is %+v", c.query, list[len(list)-1])
		}
	}
	for _, query := range []string{"?after=x", "?limit=0", "?limit=-1"} {
		if code, text := call(t, "GET", "http://"+s.Addr().String()+"/api/events"+query, "", nil); code != 400 {
			t.Errorf("%s: %d %s", query, code, text)
		}
	}
}

func TestHistory(t *testing.T) {
	base := start(t, &fakeRuntime{})
	code, text := call(t, "GET", base+"/api/history?connection=cloud", "", nil)
	var h httpapi.History
	if err := json.Unmarshal([]byte(text), &h); code != 200 || err != nil || h.Step != 10_000 || len(h.Connections["cloud"].Pending) != 1 || *h.Connections["cloud"].Pending[0] != 7 {
		t.Errorf("%d %s %v", code, text, err)
	}
	if code, text = call(t, "GET", base+"/api/history?connection=moon", "", nil); code != 404 {
		t.Errorf("of whom: %d %s", code, text)
	}
}
