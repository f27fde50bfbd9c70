package golden

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net"
	"slices"
	"strconv"
	"sync"
	"testing"

	"github.com/mqttdb/mqttdb/persistence/faultstore"
	"github.com/mqttdb/mqttdb/types"
)

// model is a broker by the book, which answers when it is told to. It never loses
// what it has got, but for its session where it says so.
type model struct {
	t  *testing.T
	mu sync.Mutex

	conn    net.Conn        // nil: there is none
	said    chan<- []byte   // to it
	known   bool            // it has a session
	forgets bool            // before the next CONNECT
	open    map[uint16]bool // QoS 2: ids without PUBREL
	owed    [][]byte        // answers
	prompt  bool            // it answers at once
	limit   int             // ids that may be open; beyond that it hangs up; 0: no bound
	lowered bool            // max_qos was, for a while

	published int            // by the gateway's user
	qos       []byte         // of each
	cleared   map[int]bool   // those that need not arrive
	unsure    map[int]bool   // those that may not be stored: the disk failed
	arrived   []int          // as the broker sees it
	excused   map[int]bool   // those that may have arrived twice, since the session was lost
	under     map[uint16]int // QoS 2: whose id it is
	over      map[int]bool   // those that got PUBCOMP
	unheard   []int          // over this link, which may not have carried it
	story     []string       // what happened
	wrong     []string       // what should not have
}

func newModel(t *testing.T) *model {
	return &model{t: t, open: map[uint16]bool{}, cleared: map[int]bool{}, unsure: map[int]bool{}, excused: map[int]bool{}, under: map[uint16]int{}, over: map[int]bool{}}
}

// serve is the broker's end of a connection.
func (b *model) serve(conn net.Conn) {
	said := make(chan []byte, 1000)
	defer close(said)
	go func() { // the gateway reads what it says when it likes
		for p := range said {
			conn.Write(p)
		}
	}()
	b.mu.Lock()
	b.conn, b.said = conn, said
	b.mu.Unlock()
	defer func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		if b.conn == conn {
			b.conn = nil
		}
		conn.Close()
	}()
	for {
		first, body, err := readPacket(conn)
		if err != nil {
			return
		}
		b.mu.Lock()
		if b.conn == conn {
			b.takes(first, body)
		}
		b.mu.Unlock()
	}
}

func (b *model) errorf(format string, args ...any) {
	b.wrong = append(b.wrong, fmt.Sprintf(format, args...))
}

// tells notes what happens, for who has to find out why something is wrong.
func (b *model) tells(format string, args ...any) {
	b.story = append(b.story, fmt.Sprintf(format, args...))
}

// takes is called with mu held.
func (b *model) takes(first byte, body []byte) {
	b.tells("> %s", show(first, body))
	switch first >> 4 {
	case connect:
		clean := body[7]&2 != 0
		if clean || b.forgets {
			b.forget()
		}
		b.say(connack(b.known, 0))
		for id := range b.open { // as mosquitto does
			b.owe(0x50, binary.BigEndian.AppendUint16(nil, id))
		}
		b.known = !clean
	case pingreq:
		b.say([]byte{pingresp << 4, 0})
	case publish:
		b.takesPublish(first, body)
	case 6: // PUBREL
		delete(b.open, binary.BigEndian.Uint16(body))
		b.owe(0x70, body)
	}
}

func (b *model) takesPublish(first byte, body []byte) {
	_, rest := cutText(body)
	qos, dup := first>>1&3, first&8 != 0
	var id []byte
	if qos > 0 {
		id, rest = rest[:2], rest[2:]
	}
	n, err := strconv.Atoi(string(rest))
	if err != nil || n >= b.published {
		b.errorf("%q arrived", rest)
		return
	}
	switch qos {
	case 1:
		b.owe(0x40, id)
		b.excused[n] = b.excused[n] || b.lowered
	case 2:
		number := binary.BigEndian.Uint16(id)
		again := b.open[number]
		b.open[number] = true
		b.owe(0x50, id)
		if again {
			if !dup {
				b.errorf("%d is new, with the id %d of one whose PUBREL has not come", n, number)
			}
			return
		}
		if b.limit > 0 && len(b.open) > b.limit { // as mosquitto does
			delete(b.open, number)
			b.hangUp()
			return
		}
	}
	if qos == 2 {
		b.under[binary.BigEndian.Uint16(id)] = n
	}
	b.arrived = append(b.arrived, n)
}

// forget loses the session: what was under way may come again.
func (b *model) forget() {
	recent := make(map[int]bool)
	for _, n := range slices.Backward(b.arrived) {
		if recent[n] = true; len(recent) <= 20 || !b.over[n] {
			b.excused[n] = true
		}
	}
	clear(b.open)
	b.known, b.forgets = false, false
}

func (b *model) owe(first byte, id []byte) {
	b.owed = append(b.owed, []byte{first, 2, id[0], id[1]})
	if b.prompt {
		b.answer(0)
	}
}

// answer says what it owes, number i of it.
func (b *model) answer(i int) {
	if i >= 0 && i < len(b.owed) {
		b.say(b.owed[i])
		b.owed = append(b.owed[:i:i], b.owed[i+1:]...)
	}
}

func (b *model) say(p []byte) {
	b.tells("< % x", p)
	if b.conn != nil {
		b.said <- p
	}
	if p[0] == 0x70 && len(p) >= 4 {
		if n, known := b.under[binary.BigEndian.Uint16(p[2:])]; known {
			b.over[n], b.unheard = true, append(b.unheard, n)
		}
	}
}

// hangUp ends the connection: what is owed nobody will hear of.
func (b *model) hangUp() {
	if b.conn != nil {
		b.conn.Close()
	}
	b.conn, b.owed = nil, nil
	for _, n := range b.unheard {
		delete(b.over, n)
	}
	b.unheard = nil
}

// orderly makes it answer everything at once.
func (b *model) orderly() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.prompt, b.limit = true, 0
	b.hangUp()
}

// step does what a byte says.
func (b *model) step(s *story, step, salt byte) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if step >= 'A' && step <= 'Z' {
		b.tells("%c", step)
		b.change(s, (step-'A')%changes, salt)
		return
	}
	op := (step - 'a') % 26
	b.tells("%c", 'a'+op)
	switch op {
	case 0, 1, 2, 3: // publish at QoS 0, 1, 2; and one that is cleared some time
		b.publishes(s, op)
	case 4, 5, 6: // three
		for range 3 {
			b.publishes(s, op-4)
		}
	case 7, 8, 9, 10:
		b.answer(0)
	case 11: // nothing is in order
		b.answer(len(b.owed) - 1)
	case 12, 13:
		b.hangUp()
	case 14:
		b.hangUp()
		b.forgets = true
	case 15, 16:
		b.hangUp()
		b.unlocked(func() { s.dies(s.store.Kill()); s.start() })
	case 17:
		b.hangUp()
		b.unlocked(func() { s.dies(s.store.PowerCut(rand.New(rand.NewPCG(uint64(salt), 3)))); s.start() })
	case 18:
		b.unlocked(func() { s.stop(); s.start() })
	case 19: // cut off in the middle of what it says
		b.say([]byte{0x40, 2, 0})
	case 20: // what is no packet of a broker
		b.say([]byte{[]byte{0x00, 0x10, 0x82, 0xa2, 0xc0, 0xe0, 0xf0, 0x36}[salt%8], salt % 5, 0, 0, 0, 0})
		b.say([]byte{0x40, 2, 0, 2})
	case 21: // acknowledgements of what nobody sent
		b.say([]byte{0x50, 2, 0x80, salt, 0x40, 2, 0x90, salt, 0x70, 2, 0xa0, salt})
	case 22:
		b.unlocked(func() { s.rt.Connection("gw").Clear(b.t.Context(), types.Selection{Filter: "cleared"}) })
	case 23:
		for range 6 {
			b.answer(0)
		}
	case 24:
		b.unlocked(func() { s.happens("time", "20s") })
	case 25:
		b.unlocked(func() { s.happens("time", fmt.Sprintf("%dms", salt)) })
	}
}

// changes is how many kinds of change there are.
const changes = 10

// change lets an operator, or the broker's, change something.
func (b *model) change(s *story, op, salt byte) {
	switch op {
	case 0:
		b.reload(s, fmt.Sprintf("qos2_window: %d", 1+salt%5))
	case 1:
		b.reload(s, fmt.Sprintf("window: %d", 1+salt%7))
	case 2:
		b.reload(s, fmt.Sprintf("client_id: gw%d", salt%3))
	case 3:
		b.unlocked(func() { s.rt.Connection("gw").Pause() })
	case 4:
		b.unlocked(func() { s.rt.Connection("gw").Resume() })
	case 5:
		b.limit = int(salt % 4)
	case 6: // the disk fails
		ops := []faultstore.Op{faultstore.Write, faultstore.Write, faultstore.Sync, faultstore.Read, faultstore.Open}
		s.faults.Inject(faultstore.Fault{Op: ops[salt%5], After: int(salt % 4), Times: 1 + int(salt%3), Late: salt%2 == 0})
	case 8:
		b.lowered = true
		b.reload(s, fmt.Sprintf("max_qos: %d", 1+salt%2))
	case 9:
		b.reload(s, fmt.Sprintf("broker: mqtt://broker%d", salt%2))
	case 7: // the broker starts again with half of what it knew
		b.hangUp()
		for id := range b.open {
			if id%2 == uint16(salt%2) {
				delete(b.open, id)
			}
		}
		for _, n := range b.arrived {
			b.excused[n] = true
		}
	}
}

func (b *model) reload(s *story, line string) {
	s.configure(line)
	b.unlocked(func() {
		if _, err := s.rt.Reload(b.t.Context(), s.parsed()); err != nil {
			b.errorf("reload with %s: %v", line, err)
		}
	})
}

// unlocked does something during which the gateway may speak.
func (b *model) unlocked(do func()) {
	b.mu.Unlock()
	defer b.mu.Lock()
	do()
}

func (b *model) publishes(s *story, qos byte) {
	n, topic := b.published, "t"
	if qos == 3 {
		b.cleared[n], topic, qos = true, "cleared", 2
	}
	b.published++
	b.qos = append(b.qos, qos)
	b.unlocked(func() {
		if _, err := s.publishOne(strconv.Itoa(int(qos)), topic, strconv.Itoa(n)); err != nil {
			b.tells("publish %d: %v", n, err)
			b.unsure[n] = true
		}
	})
}

// judge says what is wrong with what has arrived.
func (b *model) judge(s *story) {
	b.mu.Lock()
	defer b.mu.Unlock()
	times := make([]int, b.published)
	highest := -1
	for _, n := range b.arrived {
		// A power cut may bring back what was cleared, or had left at QoS 0 with a link
		// that ended: that arrives late.
		if times[n]++; times[n] == 1 && b.qos[n] > 0 && !b.cleared[n] {
			if n < highest {
				b.errorf("%d arrived first after %d", n, highest)
			}
			highest = n
		}
	}
	for n, count := range times {
		switch qos := b.qos[n]; {
		case count == 0 && qos > 0 && !b.cleared[n] && !b.unsure[n]:
			b.errorf("%d is lost", n)
		case count > 1 && qos == 2 && !b.excused[n]:
			b.errorf("%d arrived %d times", n, count)
		}
	}
	o := s.rt.Connection("gw").Status().Outgoing
	if o.Pending > 0 {
		b.errorf("%d messages are pending", o.Pending)
	}
	if lost := uint64(b.published) - o.Accepted; lost > uint64(len(b.unsure)) || o.Accepted != o.Sent+o.Dropped+o.Expired+o.Cleared+o.Dead+o.Quarantined+o.Pending {
		b.errorf("%d were published, the books say %+v", b.published, o)
	}
}
