package listener

import (
	"fmt"
	"slices"
	"testing"
	"time"

	paho "github.com/eclipse/paho.mqtt.golang"

	"github.com/mqttdb/mqttdb/types"
)

func pahoClient(t *testing.T, s *Server, id string, change func(*paho.ClientOptions)) paho.Client {
	t.Helper()
	o := paho.NewClientOptions().AddBroker("tcp://" + s.Addr().String()).SetClientID(id).SetOrderMatters(true).
		SetMaxReconnectInterval(100 * time.Millisecond).SetConnectRetryInterval(100 * time.Millisecond)
	if change != nil {
		change(o)
	}
	c := paho.NewClient(o)
	t.Cleanup(func() { c.Disconnect(0) })
	wait(t, "connect", c.Connect())
	return c
}

func wait(t *testing.T, what string, token paho.Token) {
	t.Helper()
	if !token.WaitTimeout(20*time.Second) || token.Error() != nil {
		t.Fatalf("%s: %v", what, token.Error())
	}
}

// A client whose message cannot be stored is not acknowledged: it connects
// again and sends the message until it is.
func TestPahoRepeatsWhatWasNotStored(t *testing.T) {
	sink := &testSink{err: types.ErrQueueFull}
	s, log := start(t, Options{Sink: sink})
	c := pahoClient(t, s, "keen", func(o *paho.ClientOptions) { o.SetCleanSession(false) })
	c.Publish("t", 1, false, "x") // its token says done when nothing is: no help here
	log.wait(t, "could not be stored")
	sink.set(func() { sink.err = nil })
	until(t, s, "acknowledged", func(st Stats) bool { return st.Acked == 1 && st.Refused["full"] > 0 })
}

// A client that publishes and subscribes at all QoS at once gets everything
// once and in order.
func TestPahoBothWays(t *testing.T) {
	const n = 300
	for qos := byte(0); qos <= 2; qos++ {
		t.Run(fmt.Sprintf("QoS %d", qos), func(t *testing.T) {
			sink := &testSink{}
			s, _ := start(t, Options{Sink: sink})
			got := make(chan string, 2*n)
			c := pahoClient(t, s, "both", nil)
			wait(t, "subscribe", c.Subscribe("t", qos, func(_ paho.Client, m paho.Message) { got <- string(m.Payload()) }))
			var want, have []string
			var tokens []paho.Token
			for i := range n {
				want = append(want, fmt.Sprint(i))
				tokens = append(tokens, c.Publish("t", qos, false, want[i]))
			}
			for _, token := range tokens {
				wait(t, "publish", token)
			}
			for range n {
				select {
				case text := <-got:
					have = append(have, text)
				case <-time.After(10 * time.Second):
					t.Fatalf("%d of %d came", len(have), n)
				}
			}
			if !slices.Equal(have, want) {
				t.Errorf("got %v", have)
			}
			if list := texts(sink.count(t, n)); !slices.Equal(list, want) {
				t.Errorf("the Sink got %v", list)
			}
		})
	}
}
