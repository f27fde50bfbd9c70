//go:build unix

package mqttdb_test

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	paho "github.com/eclipse/paho.mqtt.golang"

	"github.com/mqttdb/mqttdb"
	"github.com/mqttdb/mqttdb/config"
	"github.com/mqttdb/mqttdb/internal/mosquitto"
	"github.com/mqttdb/mqttdb/types"
)

// ledger is what a subscriber that knows nothing of us has got.
type ledger struct {
	mu       sync.Mutex
	got      map[string]int // payload → how often
	first    []string       // in the order of their first arrival
	complete chan struct{}  // closed when want different ones are there
	want     int
}

func (l *ledger) take(payload string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.got[payload]++; l.got[payload] > 1 {
		return
	}
	l.first = append(l.first, payload)
	if len(l.first) == l.want {
		close(l.complete)
	}
}

func subscribe(t *testing.T, url string, want int) *ledger {
	t.Helper()
	l := &ledger{got: map[string]int{}, complete: make(chan struct{}), want: want}
	client := paho.NewClient(paho.NewClientOptions().AddBroker(url).SetClientID("observer").SetOrderMatters(true).SetAutoReconnect(false))
	for _, step := range []func() paho.Token{
		client.Connect,
		func() paho.Token {
			return client.Subscribe("#", 2, func(_ paho.Client, m paho.Message) { l.take(string(m.Payload())) })
		},
	} {
		if token := step(); !token.WaitTimeout(10*time.Second) || token.Error() != nil {
			t.Fatalf("the observer: %v", token.Error())
		}
	}
	t.Cleanup(func() { client.Disconnect(0) })
	return l
}

// The configuration is changed 50 times under load, each time in something else:
// nothing is lost, nothing is out of order, and nothing arrives twice beyond what
// was in flight.
func TestReloadUnderLoad(t *testing.T) {
	const (
		publishers = 8
		messages   = 2500 // of each
		reloads    = 50
		window     = 40
	)
	broker := mosquitto.Start(t, mosquitto.WithConfig("max_queued_messages 0"))
	seen := subscribe(t, "tcp://"+broker.Addr(), publishers*messages)
	dir := t.TempDir()
	cfg := func(change func(*mqttdb.ConnectionConfig), more ...mqttdb.ConnectionConfig) mqttdb.Config {
		cloud := mqttdb.ConnectionConfig{Name: "cloud", Broker: "mqtt://" + broker.Addr(), Window: window}
		if change != nil {
			change(&cloud)
		}
		return mqttdb.Config{DataDir: dir, Connections: append([]mqttdb.ConnectionConfig{cloud}, more...)}
	}
	db, err := mqttdb.Open(t.Context(), cfg(nil))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close(context.Background())
	var load sync.WaitGroup
	for p := range publishers {
		load.Go(func() {
			for i := range messages {
				m := types.Message{Topic: fmt.Sprintf("load/%d", p), Payload: fmt.Appendf(nil, "%d/%d", p, i), QoS: 1}
				answer, room := make(chan error, 1), make(chan struct{}, 1)
				for !db.Route(m, types.Origin{}, func(err error) { answer <- err }, func() { room <- struct{}{} }) {
					<-room
				}
				if err := <-answer; err != nil {
					t.Errorf("%s: %v", m.Payload, err)
				}
			}
		})
	}
	loaded := make(chan struct{})
	go func() {
		load.Wait()
		close(loaded)
	}()
	changes := []mqttdb.Config{
		cfg(func(c *mqttdb.ConnectionConfig) { c.Window = window / 2 }),
		cfg(func(c *mqttdb.ConnectionConfig) { c.Forward = []config.Forward{{Topic: "load/#"}} }),
		cfg(func(c *mqttdb.ConnectionConfig) { c.KeepAlive = 7 * time.Second },
			mqttdb.ConnectionConfig{Name: "other", Broker: "mqtt://" + broker.Addr(), Forward: []config.Forward{{Topic: "none"}}}),
		cfg(func(c *mqttdb.ConnectionConfig) { c.Subscribe = []config.Subscribe{{Topic: "cmd/#"}} }),
		cfg(nil),
	}
	done, underLoad := 0, 0
	for ; done < reloads; done++ {
		result, err := db.Reload(t.Context(), changes[done%len(changes)])
		if err != nil || !slices.Contains(result.Changed, "cloud") {
			t.Fatalf("reload %d: %+v, %v", done, result, err)
		}
		select {
		case <-loaded:
		default:
			underLoad++
		}
	}
	<-loaded
	if err := db.Drain(t.Context()); err != nil {
		t.Fatal(err)
	}
	select {
	case <-seen.complete:
	case <-time.After(20 * time.Second): // what is missing is told below
	}
	seen.mu.Lock()
	defer seen.mu.Unlock()
	next, doubled, reordered := [publishers]int{}, 0, 0
	for _, payload := range seen.first {
		p, i, _ := strings.Cut(payload, "/")
		publisher, _ := strconv.Atoi(p)
		number, _ := strconv.Atoi(i)
		if number != next[publisher] {
			reordered++
		}
		next[publisher] = number + 1
		doubled += seen.got[payload] - 1
	}
	t.Logf("%d reloads, %d of them under load: %d of %d messages arrived, %d twice", done, underLoad, len(seen.first), publishers*messages, doubled)
	if lost := publishers*messages - len(seen.first); lost > 0 || reordered > 0 {
		t.Errorf("%d lost, %d out of order", lost, reordered)
	}
	if doubled > window { // a broker that answers lets every link finish; one that stalls once may make us repeat a window
		t.Errorf("%d arrived twice, more than were ever in flight", doubled)
	}
	if underLoad < reloads/2 {
		t.Errorf("only %d of %d reloads were under load: the test needs more messages", underLoad, reloads)
	}
}
