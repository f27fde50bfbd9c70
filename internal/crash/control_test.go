//go:build unix

package crash

import (
	"context"
	"encoding/binary"
	"net"
	"testing"
)

// A run that is as it should be, and what each kind of harm does to the verdict:
// the checker sees it.
func TestLedgerSeesHarm(t *testing.T) {
	type arrival struct {
		topic   string
		payload []byte
	}
	good := func() []arrival {
		var all []arrival
		for number := range 5 {
			for topic := range 2 {
				all = append(all, arrival{topicName(topic), makePayload(topic, number, []byte{1, 2, 3})})
			}
		}
		return all
	}
	tests := []struct {
		name string
		harm func([]arrival) []arrival
		want verdict
	}{
		{"none", func(a []arrival) []arrival { return a }, verdict{delivered: 10}},
		{"one is lost", func(a []arrival) []arrival { return append(a[:4], a[5:]...) }, verdict{delivered: 9, lost: 1}},
		{"the last is lost", func(a []arrival) []arrival { return a[:9] }, verdict{delivered: 9, lost: 1}},
		{"all are lost", func(a []arrival) []arrival { return nil }, verdict{lost: 10}},
		{"one comes twice", func(a []arrival) []arrival { return append(a, a[3]) }, verdict{delivered: 10, duplicates: 1}},
		{"two of a topic change places", func(a []arrival) []arrival {
			a[2], a[4] = a[4], a[2]
			return a
		}, verdict{delivered: 10, disordered: 1}},
		{"two of different topics change places", func(a []arrival) []arrival {
			a[2], a[3] = a[3], a[2]
			return a
		}, verdict{delivered: 10}},
		{"a repetition comes late, which is no disorder", func(a []arrival) []arrival { return append(a, a[0], a[2]) }, verdict{delivered: 10, duplicates: 2}},
		{"the first comes last", func(a []arrival) []arrival { return append(a[1:], a[0]) }, verdict{delivered: 10, disordered: 1}},
		{"a byte is changed", func(a []arrival) []arrival {
			a[3].payload[payloadFrame-3] ^= 1
			return a
		}, verdict{delivered: 9, lost: 1, corrupt: 1}},
		{"one is cut short", func(a []arrival) []arrival {
			a[3].payload = a[3].payload[:10]
			return a
		}, verdict{delivered: 9, lost: 1, corrupt: 1}},
		{"one is on another's topic", func(a []arrival) []arrival {
			a[3].topic = a[2].topic
			return a
		}, verdict{delivered: 9, lost: 1, corrupt: 1}},
		{"one was never published", func(a []arrival) []arrival {
			return append(a, arrival{topicName(1), makePayload(1, 5, nil)})
		}, verdict{delivered: 10, corrupt: 1}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			l := newLedger(2)
			for number := range 5 {
				for topic := range 2 {
					l.sent(topic, number)
					l.acknowledged(topic, number)
				}
			}
			for _, a := range test.harm(good()) {
				l.arrived(a.topic, a.payload)
			}
			test.want.published, test.want.acknowledged = 10, 10
			if got := l.judge(); got != test.want {
				t.Errorf("got %+v, want %+v", got, test.want)
			}
		})
	}
}

// What was not acknowledged may be missing.
func TestLedgerForgivesWhatWasNotAcknowledged(t *testing.T) {
	l := newLedger(1)
	l.sent(0, 0)
	if v := l.judge(); !v.good() || v.published != 1 {
		t.Errorf("%+v", v)
	}
}

// The whole apparatus sees a gateway that acknowledges before it has committed:
// one is made of the real gateway and a proxy before it that acknowledges by
// itself. It is stopped in its tracks, goes on being acknowledged, and is
// killed: what the proxy acknowledged in that time is lost, and that is what
// the same check as in the other tests must say.
func TestLiarIsCaught(t *testing.T) {
	s := newScene(t, choices(t).Uint64(), small, func(g *gateway) func(context.Context) (string, error) {
		return lie(t, g)
	})
	s.gateway.start()
	s.load.publish(3000)
	s.acked(1000)
	s.gateway.freeze()
	s.load.publish(1000)
	s.acked(300)
	s.kill()
	before := s.ledger.counts()
	s.gateway.start()
	if _, err := s.audit(before); err == nil {
		t.Error("the books of a gateway that lies agree with what was acknowledged")
	}
	s.load.publish(500)
	o := s.end()
	if o.good() || o.lost < 300 {
		t.Errorf("a gateway that acknowledges what it has not got passes: %+v", o)
	}
	t.Logf("%+v", o)
}

// lie starts a proxy for clients of g that acknowledges each PUBLISH as soon as
// it sees it, and passes it on afterwards. It returns how to find the proxy.
func lie(t testing.TB, g *gateway) func(context.Context) (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go lieTo(conn, g)
		}
	}()
	return func(ctx context.Context) (string, error) {
		_, err := g.target(ctx) // nobody could be passed on to
		return l.Addr().String(), err
	}
}

// lieTo serves one client of the proxy.
func lieTo(conn net.Conn, g *gateway) {
	defer conn.Close()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	addr, err := g.target(ctx)
	if err != nil {
		return
	}
	behind, err := dial(ctx, addr)
	if err != nil {
		return
	}
	defer behind.Close()
	go func() {
		defer conn.Close()
		for { // answers of the gateway, but for those that were given already
			first, body, err := behind.read()
			if err != nil {
				return
			}
			if first == pubackType {
				continue
			}
			if _, err := conn.Write(packet(first, body)); err != nil {
				return
			}
		}
	}()
	front := newClient(conn)
	for {
		first, body, err := front.read()
		if err != nil {
			return
		}
		if first&0xf0 == publishType {
			n := binary.BigEndian.Uint16(body)
			if _, err := conn.Write(pubackPacket(binary.BigEndian.Uint16(body[2+n:]))); err != nil {
				return
			}
		}
		if _, err := behind.Write(packet(first, body)); err != nil {
			return
		}
	}
}
