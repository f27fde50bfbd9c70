package golden

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mqttdb/mqttdb/types"
)

// wire is a connection to a slow broker. It looks at the bytes at the moment at which
// the gateway writes them: nothing that has expired may be among them.
type wire struct {
	net.Conn
	slow  *slowBroker
	carry int // bytes of the last packet that are still to come
	head  []byte
}

func (w *wire) Write(b []byte) (int, error) {
	w.slow.mu.Lock()
	w.begins(b)
	w.slow.mu.Unlock()
	return w.Conn.Write(b)
}

// begins looks at the packets that begin in b, all of whose fixed headers are in it
// but for those that b cuts off.
func (w *wire) begins(b []byte) {
	skip := min(w.carry, len(b))
	w.carry -= skip
	b = append(w.head, b[skip:]...)
	w.head = nil
	for len(b) > 0 {
		size, n := binary.Uvarint(b[1:])
		if n <= 0 || b[0]>>4 == publish && len(b) < min(1+n+int(size), 40) { // the rest decides, with the next write
			w.head = append([]byte(nil), b...)
			return
		}
		if b[0]>>4 == publish {
			w.slow.written(b[1+n:])
		}
		whole := 1 + n + int(size)
		if whole > len(b) {
			w.carry = whole - len(b)
			return
		}
		b = b[whole:]
	}
}

// slowBroker takes everything, at its leisure, and hangs up now and then.
type slowBroker struct {
	t      *testing.T
	random *rand.Rand

	mu      sync.Mutex
	until   []time.Time // by the number of the message; zero: for ever
	began   int         // PUBLISHes that the gateway has written
	arrived map[int]bool
	prompt  bool
	conn    net.Conn
}

func (s *slowBroker) written(body []byte) {
	s.began++
	n, _ := strconv.Atoi(strings.Split(string(body[2:min(len(body), 12)]), "/")[1])
	if until := s.until[n]; !until.IsZero() && !time.Now().Before(until) {
		s.t.Errorf("number %d is written %v after it has expired", n, time.Since(until))
	}
}

func (s *slowBroker) dial() net.Conn {
	near, far := net.Pipe()
	s.mu.Lock()
	s.conn = far
	s.mu.Unlock()
	go s.serve(far)
	return &wire{Conn: near, slow: s}
}

// dawdle lets time go by, and says whether to go on.
func (s *slowBroker) dawdle() bool {
	s.mu.Lock()
	prompt, dice, wait := s.prompt, s.random.IntN(200), time.Duration(s.random.IntN(12_000))*time.Millisecond
	s.mu.Unlock()
	switch {
	case prompt:
	case dice == 0:
		return false
	case dice < 6:
		<-time.After(wait)
	}
	return true
}

func (s *slowBroker) serve(conn net.Conn) {
	defer conn.Close()
	says := make(chan []byte, 10_000)
	defer close(says)
	go func() {
		for b := range says {
			conn.Write(b)
		}
	}()
	for s.dawdle() {
		first, body, err := readPacket(conn)
		if err != nil {
			return
		}
		switch first >> 4 {
		case connect:
			says <- connack(body[7]&2 == 0, 0)
		case pingreq:
			says <- []byte{pingresp << 4, 0}
		case 6:
			says <- []byte{0x70, 2, body[0], body[1]}
		case publish:
			topic, rest := cutText(body)
			n, _ := strconv.Atoi(strings.Split(topic, "/")[1])
			s.mu.Lock()
			s.arrived[n] = true
			s.mu.Unlock()
			if qos := first >> 1 & 3; qos > 0 {
				says <- []byte{[]byte{0, 0x40, 0x50}[qos], 2, rest[0], rest[1]}
			}
		}
	}
}

// S7.7: neither max_age, nor ttl, nor the expiry of a message is ever exceeded at the
// moment at which its first byte is written: whatever waits, wherever it waits, over
// cut links and deaths of the process. And what has not expired arrives.
func TestNothingExpiredIsWritten(t *testing.T) {
	for seed := range uint64(6) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { expireSome(t, rand.New(rand.NewPCG(seed, 7))) })
		})
	}
}

func expireSome(t *testing.T, random *rand.Rand) {
	const maxAge, ttl = 40 * time.Second, 25 * time.Second
	slow := &slowBroker{t: t, random: rand.New(rand.NewPCG(random.Uint64(), 8)), arrived: map[int]bool{}}
	s := newStory(t)
	s.network = slow.dial
	s.configure("limits: {outgoing: {max_age: 40s}}")
	s.configure(`forward: [{topic: "short/#", ttl: 25s}, {topic: "t/#"}]`)
	s.configure("window: 50")
	s.start()
	defer func() {
		s.end()
		<-time.After(time.Minute) // what the broker is about
	}()
	payload := make([]byte, 2000)
	put := func() {
		m := types.Message{QoS: types.QoS(random.IntN(3)), Payload: payload}
		most, topic := maxAge, "t"
		if random.IntN(2) == 0 {
			most, topic = ttl, "short"
		}
		if random.IntN(3) == 0 {
			m.Expiry = time.Duration(1+random.IntN(50)) * time.Second
			most = min(most, m.Expiry)
		}
		m.Topic = fmt.Sprintf("%s/%d/", topic, len(slow.until))
		slow.mu.Lock()
		slow.until = append(slow.until, time.Now().Add(most))
		slow.mu.Unlock()
		stored := make(chan error, 1)
		if !s.rt.Route(m, types.Origin{}, func(err error) { stored <- err }, func() {}) {
			t.Fatal("there is no room")
		}
		if err := <-stored; err != nil {
			t.Fatal(err)
		}
	}
	for range 40 {
		for range random.IntN(60) {
			put()
		}
		<-time.After(time.Duration(random.IntN(8000)) * time.Millisecond)
		if random.IntN(10) == 0 {
			s.dies(s.store.Kill())
			<-time.After(time.Duration(random.IntN(20_000)) * time.Millisecond)
			s.start()
		}
	}
	slow.mu.Lock()
	slow.prompt = true
	slow.conn.Close()
	slow.mu.Unlock()
	if err := s.rt.Drain(t.Context()); err != nil {
		t.Fatal(err)
	}
	for s.rt.Connection("gw").Status().State != types.Online {
		<-time.After(time.Second)
	}
	for range 10 { // in time for all of them
		put()
	}
	if err := s.rt.Drain(t.Context()); err != nil {
		t.Fatal(err)
	}
	synctest.Wait()
	o := s.rt.Connection("gw").Status().Outgoing
	missing := 0
	for n := range slow.until {
		if !slow.arrived[n] {
			missing++
		}
	}
	if last := len(slow.until); o.Accepted != uint64(last) || o.Accepted != o.Sent+o.Expired || uint64(missing) > o.Expired || o.Sent < 50 || o.Expired == 0 {
		t.Errorf("of %d messages %d did not arrive; the books say %+v", last, missing, o)
	}
	for n := len(slow.until) - 10; n < len(slow.until); n++ {
		if !slow.arrived[n] {
			t.Errorf("number %d did not arrive", n)
		}
	}
	t.Logf("%d messages, %d written, %d sent, %d expired", len(slow.until), slow.began, o.Sent, o.Expired)
}
