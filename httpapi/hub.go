package httpapi

import (
	"bytes"
	"encoding/json"
	"maps"
	"reflect"
	"slices"
	"sync"
	"time"

	"github.com/gorilla/websocket"

	"github.com/mqttdb/mqttdb/types"
)

// hub knows the latest status of each connection, and the clients of the stream. It
// may be used concurrently, and nothing in it waits for a client.
type hub struct {
	mu      sync.Mutex
	at      time.Time
	order   []string
	latest  map[string]types.Status
	encoded map[string]json.RawMessage // of latest; made once, when somebody looks
	clients map[*client]struct{}
	closed  bool
	served  sync.WaitGroup // clients; none is added once it is closed
}

func newHub() *hub {
	return &hub{latest: map[string]types.Status{}, encoded: map[string]json.RawMessage{}, clients: map[*client]struct{}{}}
}

// update makes all the latest statuses, tells the clients what has changed, and
// returns that: whole statuses, and names that are gone.
func (h *hub) update(at time.Time, all []types.Status) (changed []types.Status, gone []string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	latest := make(map[string]types.Status, len(all))
	order := make([]string, 0, len(all))
	for _, s := range all {
		latest[s.Name] = s
		order = append(order, s.Name)
		if before, ok := h.latest[s.Name]; !ok || !reflect.DeepEqual(before, s) {
			changed = append(changed, s)
			delete(h.encoded, s.Name)
		}
	}
	for name := range h.latest {
		if _, ok := latest[name]; !ok {
			gone = append(gone, name)
			delete(h.encoded, name)
		}
	}
	slices.Sort(gone)
	h.at, h.latest, h.order = at, latest, order
	if len(h.clients) == 0 || len(changed)+len(gone) == 0 {
		return changed, gone
	}
	u := &update{gone: gone, names: make([]string, len(changed))}
	for i := range changed {
		u.names[i] = changed[i].Name
	}
	u.messages = h.compose(u.names, gone)
	for c := range h.clients {
		c.offer(u)
	}
	return changed, gone
}

// tell gives an event to all clients.
func (h *hub) tell(e Event) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.clients) == 0 {
		return
	}
	m := prepare(struct {
		Type  string `json:"type"`
		Event Event  `json:"event"`
	}{"event", e})
	for c := range h.clients {
		c.happened(m)
	}
}

// compose makes the messages that bring a client up to date with the named
// connections and with those that are gone. The lock is held.
func (h *hub) compose(names, gone []string) []*websocket.PreparedMessage {
	var list []*websocket.PreparedMessage
	if len(gone) > 0 {
		list = append(list, prepare(struct {
			Type  string   `json:"type"`
			Names []string `json:"names"`
		}{"gone", gone}))
	}
	if len(names) > 0 {
		list = append(list, prepare(struct {
			Type        string          `json:"type"`
			At          int64           `json:"at"`
			Connections json.RawMessage `json:"connections"`
		}{"status", h.at.UnixMilli(), h.array(names)}))
	}
	return list
}

// array is a JSON array of the latest statuses. The lock is held.
func (h *hub) array(names []string) json.RawMessage {
	var b bytes.Buffer
	b.WriteByte('[')
	for _, name := range names {
		s, ok := h.latest[name]
		if !ok {
			continue
		}
		if h.encoded[name] == nil {
			h.encoded[name] = encode(s)
		}
		if b.Len() > 1 {
			b.WriteByte(',')
		}
		b.Write(h.encoded[name])
	}
	b.WriteByte(']')
	return b.Bytes()
}

// join adds a client and returns the first message for it; false: the hub is closed,
// or has most clients already.
func (h *hub) join(c *client, version string, demo bool, most int) (*websocket.PreparedMessage, bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed || len(h.clients) >= most {
		return nil, false
	}
	h.clients[c] = struct{}{}
	h.served.Add(1)
	connections, orphans := []string{}, []string{}
	for _, name := range h.order {
		if h.latest[name].Orphan {
			orphans = append(orphans, name)
		} else {
			connections = append(connections, name)
		}
	}
	return prepare(struct {
		Type        string          `json:"type"`
		Version     string          `json:"version"`
		At          int64           `json:"at"`
		Demo        bool            `json:"demo"`
		Connections json.RawMessage `json:"connections"`
		Orphans     json.RawMessage `json:"orphans"`
		Order       []string        `json:"order"`
	}{"hello", version, time.Now().UnixMilli(), demo, h.array(connections), h.array(orphans), append([]string{}, h.order...)}), true
}

func (h *hub) leave(c *client) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.clients, c)
	h.served.Done()
}

// take returns what c is to be sent now: nothing if it is up to date. Without
// statuses only events are taken.
func (h *hub) take(c *client, statuses bool) (list []*websocket.PreparedMessage, left bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	list, c.events = c.events, nil
	if !statuses {
		return list, c.behind()
	}
	switch {
	case c.next != nil:
		list = append(list, c.next.messages...)
	case c.behind():
		list = append(list, h.compose(slices.Sorted(maps.Keys(c.changed)), slices.Sorted(maps.Keys(c.gone)))...)
	}
	c.next, c.changed, c.gone = nil, nil, nil
	return list, false
}

// partingTime is how long clients may take to hear that the gateway stops.
const partingTime = 500 * time.Millisecond

// close ends the stream of each client, and returns when all have ended.
func (h *hub) close() {
	h.mu.Lock()
	if !h.closed {
		h.closed = true
		for c := range h.clients {
			close(c.ended)
		}
	}
	h.mu.Unlock()
	late := time.AfterFunc(partingTime, func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		for c := range h.clients {
			if c.conn != nil {
				c.conn.NetConn().Close() // it may be in the middle of a message
			}
		}
	})
	defer late.Stop()
	h.served.Wait()
}

// connect notes the connection of c.
func (h *hub) connect(c *client, conn *websocket.Conn) {
	h.mu.Lock()
	defer h.mu.Unlock()
	c.conn = conn
}

// prepare makes a message that is sent to many: its frame is made once.
func prepare(v any) *websocket.PreparedMessage {
	m, err := websocket.NewPreparedMessage(websocket.TextMessage, encode(v))
	if err != nil {
		panic(err) // of a text message there is none
	}
	return m
}

// encode makes JSON of something of ours that has no way to fail.
func encode(v any) []byte {
	text, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return text
}
