package actors

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/mqttdb/mqttdb/persistence"
	"github.com/mqttdb/mqttdb/types"
)

// reconnects runs s on h until all is acknowledged: whenever a link is gone there
// is another one, whenever the process is dead it starts again. trouble is called
// now and then.
func (h *receivingHouse) reconnects(s *sender, trouble func()) {
	h.t.Helper()
	s.mu.Lock()
	s.kill = h.die
	s.mu.Unlock()
	s.connect(h.in, s.number > 0)
	limit, tick := time.After(2*testPatience), time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-s.done:
			select {
			case <-h.dead:
				h.start()
			default:
			}
			return
		case <-h.dead:
			h.start()
			s.connect(h.in, true)
		case <-s.down:
			s.connect(h.in, true)
		case <-tick.C:
			trouble()
		case <-limit:
			h.t.Fatalf("not all is acknowledged: %d wait, %d are in flight, trouble: %v", len(s.waiting), len(s.flying), h.queue.Trouble())
		}
	}
}

// S4.1, S4.2: links that end, a broker that sends again what was completed, actors
// that fail, a store that fails to write or to sync, a process that dies: at QoS 2
// each is stored once and in order, at QoS 1 at least once and first in order, at
// QoS 0 once at most.
func TestReceivingChaos(t *testing.T) {
	for seed := range uint64(6) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			t.Parallel()
			rnd := rand.New(rand.NewPCG(seed, 5))
			h := newReceivingHouse(t)
			s := newSender(t, 2, counted(6000)...)
			for i := range s.waiting {
				s.waiting[i].QoS = types.QoS([]int{2, 2, 1, 0}[rnd.IntN(4)])
			}
			sent := s.waiting
			s.window = 30
			faults := 0
			h.reconnects(s, func() {
				if faults++; faults > 200 || rnd.IntN(2) == 0 {
					return
				}
				store := h.store
				fail := func() error {
					store.set(func(s *testStore) { s.onSync, s.onWrit = nil, nil })
					return errors.New("the disk is full")
				}
				switch rnd.IntN(7) {
				case 0:
					h.in.Kill()
				case 1:
					h.queue.Kill()
				case 2:
					store.set(func(s *testStore) { s.onSync = fail })
				case 3:
					store.set(func(s *testStore) { s.onWrit = func(persistence.Commit) error { return fail() } })
				case 4:
					h.die()
				default:
					s.mu.Lock()
					s.forgets = rnd.IntN(2) == 0
					s.cut(s.link)
					s.mu.Unlock()
				}
			})
			// What came at QoS 0 behind all others is stored with the next commit.
			h.store.set(func(s *testStore) { s.onSync, s.onWrit = nil, nil })
			for {
				if _, err := put(soon(t), h.queue); err == nil {
					break
				} else if !errors.Is(err, types.ErrInterrupted) { // by what was done last
					t.Fatal(err)
				}
			}
			checkReceived(t, sent, h.stored())
		})
	}
}

// checkReceived holds what was stored against what was sent; payloads differ.
func checkReceived(t *testing.T, sent, stored []types.Message) {
	t.Helper()
	times := map[string]int{}
	first := [3][]string{}
	for _, m := range stored {
		p := string(m.Payload)
		if times[p]++; times[p] == 1 {
			first[m.QoS] = append(first[m.QoS], p)
		}
	}
	want := [3][]string{}
	lost, doubled := 0, 0
	for _, m := range sent {
		p := string(m.Payload)
		want[m.QoS] = append(want[m.QoS], p)
		if m.QoS > 0 && times[p] == 0 {
			lost++
		}
		if m.QoS != 1 && times[p] > 1 {
			doubled++
		}
	}
	if lost > 0 || doubled > 0 {
		t.Errorf("%d are lost, %d doubled", lost, doubled)
	}
	for qos := 1; qos <= 2; qos++ {
		if got := strings.Join(first[qos], " "); got != strings.Join(want[qos], " ") {
			t.Errorf("QoS %d: the order is another: %s", qos, got)
		}
	}
	if len(stored) < len(sent)/2 {
		t.Errorf("%d of %d are stored", len(stored), len(sent))
	}
}

// anyMessage is one of those that break what does not keep bytes as bytes.
func anyMessage(rnd *rand.Rand) types.Message {
	text := func(n int) string {
		alphabet := []rune("abc/ \"'{}\\\n\x01\x7f\u0080é漢🙂\ufffd$.:")
		var b strings.Builder
		for b.Len() < n {
			b.WriteRune(alphabet[rnd.IntN(len(alphabet))])
		}
		return b.String()
	}
	m := types.Message{QoS: types.QoS(1 + rnd.IntN(2)), Retain: rnd.IntN(3) == 0}
	switch rnd.IntN(6) {
	case 0:
		m.Topic = "/"
	case 1:
		m.Topic = text(types.MaxTopic - 3)
	default:
		m.Topic = text(1 + rnd.IntN(40))
	}
	n := 0
	switch rnd.IntN(8) {
	case 0: // empty
	case 1:
		n = 1
	case 2:
		n = 1 << 20
	case 3: // every byte value
		m.Payload = make([]byte, 256)
		for i := range m.Payload {
			m.Payload[i] = byte(i)
		}
		return m
	case 4: // looks like what a store or a protocol may mean by it
		m.Payload = []byte([]string{"\x00", "\n", "null", "\xff\xfe", "{\"$date\":1}", strings.Repeat("\x00", 1000)}[rnd.IntN(6)])
		return m
	default:
		n = rnd.IntN(3000)
	}
	m.Payload = make([]byte, n)
	for i := range m.Payload {
		m.Payload[i] = byte(rnd.Uint32())
	}
	return m
}

// S4.5: whatever bytes a payload has, and whatever a topic looks like, it is read
// back as it came, after the process has died and been started again, several times.
func TestReceivedBytesAreKept(t *testing.T) {
	for seed := range uint64(3) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			rnd := rand.New(rand.NewPCG(seed, 9))
			h := newReceivingHouse(t)
			var sent []types.Message
			for range 3 {
				s := newSender(t, 2)
				s.number = len(sent)
				s.lastID = uint16(1000 * len(sent))
				for range 60 {
					s.waiting = append(s.waiting, anyMessage(rnd))
				}
				sent = append(sent, s.waiting...)
				died := 0
				h.reconnects(s, func() {
					if died++; died < 5 {
						h.die()
					}
				})
				h.die()
				h.start()
			}
			got := h.stored()
			n := 0 // messages of QoS 1 may be there more than once
			for _, m := range got {
				if n < len(sent) && same(m, sent[n]) {
					n++
				} else if m.QoS == 2 {
					t.Fatalf("message %d: topic %.40q, %d bytes, QoS %d; want %.40q, %d bytes", n, m.Topic, len(m.Payload), m.QoS, sent[n].Topic, len(sent[n].Payload))
				}
			}
			if n != len(sent) {
				t.Errorf("%d of %d are there as they were sent", n, len(sent))
			}
		})
	}
}

func same(a, b types.Message) bool {
	return a.Topic == b.Topic && a.QoS == b.QoS && a.Retain == b.Retain && bytes.Equal(a.Payload, b.Payload)
}
