//go:build unix

package crash

import (
	"context"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"
)

// publishOne publishes a message at QoS 1 and waits until it is acknowledged.
func publishOne(t testing.TB, g *gateway, topic string, payload []byte) {
	t.Helper()
	c := greeted(t, g, "one")
	defer c.Close()
	if _, err := c.ask(publishPacket(topic, payload, 1), pubackType); err != nil {
		t.Fatalf("publish to %q: %v\n%s", topic, err, g.log())
	}
}

// greeted is a client of g; what it does may take as long as the test's patience.
func greeted(t testing.TB, g *gateway, id string) *client {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	addr, err := g.target(ctx)
	if err != nil {
		t.Fatal(err)
	}
	c, _, err := connect(ctx, addr, id, true)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(patience))
	return c
}

// Bad input: a client that breaks the rules loses its connection and nothing
// else happens: other clients go on, and nothing of it is stored.
func TestClientsThatBreakTheRules(t *testing.T) {
	g := newGateway(t, "mqtt://127.0.0.1:1")
	g.start()
	steady := greeted(t, g, "steady")
	tests := []struct {
		name  string
		bytes []byte
		first bool // instead of CONNECT
	}{
		{name: "+ in a topic", bytes: publishPacket("a/+/b", nil, 1)},
		{name: "# in a topic", bytes: publishPacket("a/#", nil, 1)},
		{name: "NUL in a topic", bytes: publishPacket("a\x00b", nil, 1)},
		{name: "a topic that is not UTF-8", bytes: publishPacket("a\xff", nil, 1)},
		{name: "a surrogate in a topic", bytes: publishPacket("a\xed\xa0\x80", nil, 1)},
		{name: "an overlong zero in a topic", bytes: publishPacket("a\xc0\x80", nil, 1)},
		{name: "no topic", bytes: publishPacket("", nil, 1)},
		{name: "packet id 0", bytes: publishPacket("a", nil, 0)},
		{name: "QoS 3", bytes: packet(publishType|6, text("a"), []byte{0, 1})},
		{name: "a topic longer than its packet", bytes: packet(publishType|qos1Flag, []byte{0, 9, 'a'})},
		{name: "a length of five bytes", bytes: []byte{publishType, 0xff, 0xff, 0xff, 0xff, 1}},
		{name: "a reserved packet type", bytes: []byte{0xf0, 0}},
		{name: "a second CONNECT", bytes: connectPacket("bad", true)},
		{name: "PUBLISH first", bytes: publishPacket("a", nil, 1), first: true},
		{name: "HTTP", bytes: []byte("GET / HTTP/1.1\r\nHost: x\r\n\r\n"), first: true},
		{name: "zeros", bytes: make([]byte, 64), first: true},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			var bad *client
			if test.first {
				var err error
				if bad, err = dial(t.Context(), g.running.mqtt); err != nil {
					t.Fatal(err)
				}
				defer bad.Close()
				bad.SetDeadline(time.Now().Add(patience))
			} else {
				bad = greeted(t, g, "bad")
			}
			// A good message may stand before the bad one.
			if _, err := bad.Write(test.bytes); err != nil {
				t.Fatal(err)
			}
			if answer, err := io.ReadAll(bad.r); err != nil && strings.Contains(err.Error(), "timeout") || len(answer) > 0 {
				t.Errorf("it was answered %x, %v", answer, err)
			}
			if _, err := steady.ask(publishPacket("steady", []byte(test.name), 7), pubackType); err != nil {
				t.Fatalf("another client: %v\n%s", err, g.log())
			}
		})
	}
	if q := g.status().Outgoing; q.Accepted != uint64(len(tests)) || q.Pending != uint64(len(tests)) {
		t.Errorf("what is stored is not what the good client sent: %+v", q)
	}
}

// Bad input: a payload over the limit is refused wherever it comes from, with
// words where there is room for them. An MQTT 3.1.1 client has no way to be
// told, so it is acknowledged (S4.5); it goes on.
func TestPayloadOverTheLimit(t *testing.T) {
	g := newGateway(t, "mqtt://127.0.0.1:1")
	g.start()
	const limit = 4 << 20
	large := make([]byte, limit+1)

	c := greeted(t, g, "large")
	if _, err := c.ask(publishPacket("t", large, 1), pubackType); err != nil {
		t.Fatal(err)
	}
	if q := g.status().Outgoing; q.Accepted != 0 {
		t.Errorf("%+v", q)
	}
	if _, err := c.ask(publishPacket("t", large[:limit], 2), pubackType); err != nil {
		t.Fatal(err)
	}
	if q := g.status().Outgoing; q.Accepted != 1 {
		t.Errorf("%+v", q)
	}
	if want := "topic=t bytes=4194305 reason=too_large\n"; !strings.Contains(g.log(), want) {
		t.Errorf("the log does not say %q:\n%s", want, g.log())
	}

	answer, err := http.Post("http://"+g.running.api+"/api/connections/"+connectionName+"/publish?topic=t", "application/json", strings.NewReader(string(large)))
	if err != nil {
		t.Fatal(err)
	}
	body, _ := io.ReadAll(answer.Body)
	answer.Body.Close()
	if want := `"error":"message too large: send less or raise max_message_size: the limit is 4194304 bytes"`; answer.StatusCode != http.StatusRequestEntityTooLarge || !strings.Contains(string(body), want) {
		t.Errorf("HTTP: %s %s", answer.Status, body)
	}

	code, _, stderr := runToEnd(t, nil, "--config", g.config, "pub", "t", "--file", write(t, t.TempDir(), "large", string(large)))
	if want := "mqttdb: message too large: send less or raise max_message_size: the payload has 4194305 bytes, the limit is 4194304\n"; code != 1 || stderr != want {
		t.Errorf("pub: exit status %d, %s", code, stderr)
	}
}
