package golden

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mqttdb/mqttdb/broker"
	"github.com/mqttdb/mqttdb/broker/mqtt"
	"github.com/mqttdb/mqttdb/config"
	"github.com/mqttdb/mqttdb/config/yaml"
	"github.com/mqttdb/mqttdb/persistence/faultstore"
	"github.com/mqttdb/mqttdb/persistence/memory"
	"github.com/mqttdb/mqttdb/runtime"
	"github.com/mqttdb/mqttdb/types"
)

// story is a conversation as it goes on.
type story struct {
	t      *testing.T
	text   strings.Builder
	yaml   []string // lines of the connection
	store  *memory.Store
	faults *faultstore.Store // what the process has of it
	rt     *runtime.Runtime  // nil: it does not run
	peer   *peer             // the latest that was dialed

	broker *model // nil: the conversation itself

	network func() net.Conn // nil: one to the broker

	mu    sync.Mutex
	lines []string // what came of it, and is not in text yet
}

// Time is that of a synctest bubble.

// longest is how long the gateway may take to dial, by the clock of its bubble.
const longest = 10 * time.Minute

// theBroker is the one that is meant where no other is named.
const theBroker = "mqtt://broker"

// configure sets a line of the connection, in place of one for the same key.
func (s *story) configure(line string) {
	key, _, _ := strings.Cut(line, ":")
	for i, old := range s.yaml {
		if strings.HasPrefix(old, key+":") {
			s.yaml[i] = line
			return
		}
	}
	s.yaml = append(s.yaml, line)
}

func newStory(t *testing.T) *story {
	return &story{t: t, store: memory.New(memory.Options{}), yaml: []string{"broker: " + theBroker, "client_id: gw"}}
}

// says notes what the gateway does. It may be called concurrently.
func (s *story) says(format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lines = append(s.lines, "\t"+fmt.Sprintf(format, args...)+"\n")
}

// note adds what came of the last line to the text: first the packets, whose order
// with what else is done is nobody's.
func (s *story) note() {
	s.mu.Lock()
	defer s.mu.Unlock()
	slices.SortStableFunc(s.lines, func(a, b string) int { return strings.Compare(b[:2], a[:2]) })
	s.text.WriteString(strings.Join(s.lines, ""))
	s.lines = nil
}

func (s *story) happens(verb, rest string) {
	s.t.Helper()
	ctx := s.t.Context()
	running := s.rt != nil
	switch verb {
	case "start":
		if !running {
			s.start()
			return
		}
	case "dials":
		s.dials()
		return
	case "greet":
		s.greet()
		return
	case "accept":
		s.peer.send(connack(rest == "present", 0))
		return
	case "refuse":
		s.peer.send(connack(false, number(s.t, rest)))
		return
	case "serve":
		s.peer.serve(number(s.t, rest))
		return
	case "served":
		s.served()
		return
	case "configure":
		s.configure(rest)
		return
	case "<":
		s.peer.send(parsePackets(s.t, rest))
		return
	case "hang":
		s.peer.close()
		return
	case "time":
		d, err := time.ParseDuration(rest)
		if err != nil {
			s.t.Fatal(err)
		}
		<-time.After(d)
		return
	}
	if !running || verb == "start" {
		s.t.Fatalf("%s %s: the gateway runs: %v", verb, rest, running)
	}
	conn := s.rt.Connection("gw")
	switch verb {
	case "stop":
		s.stop()
	case "kill":
		s.dies(s.store.Kill())
	case "power":
		s.dies(s.store.PowerCut(rand.New(rand.NewPCG(1, 2))))
	case "reload":
		s.configure(rest)
		_, err := s.rt.Reload(ctx, s.parsed())
		s.did(err)
	case "publish":
		s.publish(strings.Fields(rest))
	case "clear":
		n, err := conn.Clear(ctx, types.Selection{Filter: rest})
		s.says("- cleared %d%s", n, because(err))
	case "pause":
		s.did(conn.Pause())
	case "resume":
		s.did(conn.Resume())
	case "status":
		s.status(conn.Status())
	default:
		s.t.Fatalf("%s: no such verb", verb)
	}
}

func (s *story) did(err error) {
	if err != nil {
		s.says("- error: %v", err)
	}
}

func because(err error) string {
	if err == nil {
		return ""
	}
	return ": " + err.Error()
}

// parsed is the configuration.
func (s *story) parsed() config.Config {
	s.t.Helper()
	text := "connections:\n  gw:\n    " + strings.Join(s.yaml, "\n    ")
	cfg, err := yaml.Parse("conversation", []byte(text), func(string) (string, bool) { return "", false })
	if err != nil {
		s.t.Fatal(err)
	}
	return cfg
}

func (s *story) start() {
	s.t.Helper()
	s.faults = faultstore.New(s.store)
	var err error
	s.rt, err = runtime.Open(s.t.Context(), runtime.Options{
		Config: s.parsed(), Durable: s.faults, Volatile: memory.New(memory.Options{}),
		Dialer: func(c config.Connection) (broker.Dialer, error) {
			return &mqtt.Dialer{Network: func(ctx context.Context) (broker.Conn, error) { return s.dial(ctx, c.Broker) }}, nil
		},
		Login: func(context.Context, config.Connection) (string, []byte, error) { return "", nil, nil },
	})
	if err != nil {
		s.t.Fatal(err)
	}
	s.rt.Deliver(func(m types.Message) { s.says("- delivers %s", describe(m)) })
}

func describe(m types.Message) string {
	text := fmt.Sprintf("qos%d %s %q", m.QoS, m.Topic, m.Payload)
	if n := len(m.Payload); n > 40 {
		text = fmt.Sprintf("qos%d %s, %d bytes", m.QoS, m.Topic, n)
	}
	if m.Retain {
		text += " retain"
	}
	return text
}

func (s *story) stop() {
	rt := s.rt
	s.rt = nil
	if err := rt.Close(context.Background()); err != nil {
		s.says("- error: %v", err)
	}
}

// dies ends the process without a word: what it could still do reaches neither the
// store, nor the broker.
func (s *story) dies(left *memory.Store) {
	s.store = left
	if s.peer != nil {
		s.peer.silence()
	}
	rt := s.rt
	s.rt = nil
	_ = rt.Close(context.Background()) // it complains about its store
}

// end leaves nothing running.
func (s *story) end() {
	if s.rt != nil {
		if s.peer != nil {
			s.peer.silence()
		}
		s.stop()
	}
}

// dial is what the gateway dials.
func (s *story) dial(ctx context.Context, broker string) (broker.Conn, error) {
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	if s.network != nil {
		return s.network(), nil
	}
	if s.broker != nil {
		near, far := net.Pipe()
		go s.broker.serve(far)
		return near, nil
	}
	p := newPeer(s, broker)
	s.mu.Lock()
	s.peer = p
	s.mu.Unlock()
	return p.near, nil
}

// dials lets time go on until the gateway has dialed and said its CONNECT.
func (s *story) dials() {
	for waited := time.Duration(0); waited < longest; waited += 10 * time.Millisecond {
		synctest.Wait()
		s.mu.Lock()
		greeted := s.peer != nil && s.peer.greeted && !s.peer.answered
		s.mu.Unlock()
		if greeted {
			return
		}
		<-time.After(10 * time.Millisecond)
	}
	s.t.Fatalf("the gateway did not dial within %v:\n%s", longest, s.text.String())
}

// greet answers the CONNECT that ends an old session, and the one after it.
func (s *story) greet() {
	s.dials()
	s.peer.send(connack(false, 0))
	s.dials()
	s.peer.send(connack(false, 0))
}

// served lets time go on until the broker has acknowledged what it was told to.
func (s *story) served() {
	for waited := time.Duration(0); waited < longest; waited += 10 * time.Millisecond {
		synctest.Wait()
		if s.peer.served() {
			return
		}
		<-time.After(10 * time.Millisecond)
	}
	s.t.Fatal("the broker does not get as many messages")
}

func (s *story) publish(words []string) {
	if len(words) < 3 {
		s.t.Fatal("publish QOS TOPIC PAYLOAD…")
	}
	if times, payload, ok := strings.Cut(words[2], "*"); ok { // 1000*x
		var last types.Seq
		var err error
		for range number(s.t, times) {
			last, err = s.publishOne(words[0], words[1], payload)
		}
		s.says("- stored up to %d%s", last, because(err))
		return
	}
	for _, payload := range words[2:] {
		seq, err := s.publishOne(words[0], words[1], payload)
		s.says("- stored %d%s", seq, because(err))
	}
}

func (s *story) publishOne(qos, topic, payload string) (types.Seq, error) {
	p, err := s.rt.Connection("gw").PublishAsync(s.t.Context(), types.Message{
		Topic: topic, Payload: []byte(payload), QoS: types.QoS(number(s.t, qos)),
	})
	if err != nil {
		return 0, err
	}
	return p.Stored(s.t.Context())
}

func (s *story) status(st types.Status) {
	o := st.Outgoing
	s.says("- %s, pending %d, in flight %d, accepted %d = sent %d + dropped %d + expired %d + cleared %d + dead %d + quarantined %d + pending",
		st.State, o.Pending, o.InFlight, o.Accepted, o.Sent, o.Dropped, o.Expired, o.Cleared, o.Dead, o.Quarantined)
	if st.LastError != "" {
		s.says("- error %q, hint %q", st.LastError, st.Hint)
	}
}
