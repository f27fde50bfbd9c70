//go:build unix

package crash

import (
	"bytes"
	"context"
	"net"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// special is a message that a careless gateway would spoil.
type special struct {
	name, topic string
	payload     []byte
	retain      bool
}

func everyByte() []byte {
	b := make([]byte, 256)
	for i := range b {
		b[i] = byte(i)
	}
	return b
}

func specials() []special {
	long := strings.Repeat("é", 32700)
	return []special{
		{name: "every byte", topic: "special/bytes", payload: everyByte()},
		{name: "empty", topic: "special/empty"},
		{name: "1 MiB", topic: "special/mebibyte", payload: bytes.Repeat(everyByte(), 4096)},
		{name: "retained", topic: "special/retained", payload: []byte("kept\x00\xff"), retain: true},
		{name: "UTF-8 topic", topic: "special/größe/温度/🌡", payload: []byte("21 °C")},
		{name: "empty levels, blanks", topic: "/special// level /", payload: []byte{0}},
		{name: "longest topic", topic: long, payload: []byte("x")},
	}
}

// Real run: while the broker is away, mosquitto_pub and 64 clients publish; the
// gateway is killed in the middle of it, and again at its end. When the broker
// is back, everything that was acknowledged arrives, in order, byte for byte
// (Guarantees 1, 2, 3).
func TestRealRun(t *testing.T) {
	rng := choices(t)
	messages := 500 * run.kills
	s := newScene(t, rng.Uint64(), small, nil)
	s.brokerDown()
	s.incidents = 0 // nothing was in flight yet: nothing may come twice
	s.gateway.start()
	for _, m := range specials() {
		s.mosquittoPub(m)
	}

	s.load.publish(messages)
	s.acked(messages/4 + rng.IntN(messages/2))
	s.kill()
	t.Logf("killed when %d of %d messages were acknowledged", s.ledger.counts().acked, messages)
	s.revive()
	s.await("all acknowledgements", func(c counts) bool { return c.acked == messages })
	s.kill()
	s.revive()
	s.brokerUp()

	o := s.end()
	s.check(o)
	if o.acknowledged != messages {
		t.Errorf("%d messages were acknowledged, want %d", o.acknowledged, messages)
	}
	s.checkSpecials()
	t.Logf("%+v, longest start %v", o, s.gateway.slow.Round(time.Millisecond))
}

// mosquittoPub publishes with mosquitto's own client, which returns once it is
// acknowledged.
func (s *scene) mosquittoPub(m special) {
	s.t.Helper()
	addr, err := s.gateway.target(context.Background())
	if err != nil {
		s.t.Fatal(err)
	}
	host, port, _ := net.SplitHostPort(addr)
	args := []string{"-h", host, "-p", port, "-q", "1", "-t", m.topic}
	if len(m.payload) == 0 {
		args = append(args, "-n")
	} else {
		args = append(args, "-f", write(s.t, s.t.TempDir(), "payload", string(m.payload)))
	}
	if m.retain {
		args = append(args, "-r")
	}
	if out, err := exec.Command("mosquitto_pub", args...).CombinedOutput(); err != nil {
		s.t.Fatalf("mosquitto_pub, %s: %v\n%s", m.name, err, out)
	}
	s.others++
}

// checkSpecials holds what arrived against what mosquitto_pub published.
func (s *scene) checkSpecials() {
	s.t.Helper()
	arrived := make(map[string][]message)
	for _, m := range s.subscriber.specials() {
		arrived[m.topic] = append(arrived[m.topic], m)
	}
	for _, want := range specials() {
		got := arrived[want.topic]
		if len(got) != 1 || !bytes.Equal(got[0].payload, want.payload) {
			s.t.Errorf("%s: %d messages arrived, or not as they were: %.100v", want.name, len(got), got)
		}
		retained := s.retained(want.topic)
		switch {
		case want.retain && (retained == nil || !bytes.Equal(retained.payload, want.payload) || retained.first&retainFlag == 0):
			s.t.Errorf("%s: a later subscriber gets %+v", want.name, retained)
		case !want.retain && retained != nil:
			s.t.Errorf("%s: a later subscriber gets it too", want.name)
		}
	}
}

// retained asks the broker, as a new subscriber, what it keeps under a topic.
func (s *scene) retained(topic string) *message {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	c, _, err := connect(ctx, s.broker.Addr(), "later", true)
	if err != nil {
		s.t.Fatal(err)
	}
	defer c.Close()
	// What is retained comes, before or after SUBACK, before the answer to PINGREQ.
	if _, err := c.Write(append(subscribePacket(1, topic), 0xC0, 0)); err != nil {
		s.t.Fatal(err)
	}
	var kept *message
	for {
		first, body, err := c.read()
		if err != nil {
			s.t.Fatal(err)
		}
		switch first & 0xf0 {
		case publishType:
			m, err := parsePublish(first, body)
			if err != nil {
				s.t.Fatal(err)
			}
			kept = &m
		case 0xD0:
			return kept
		}
	}
}
