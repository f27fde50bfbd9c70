package actors

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/mqttdb/mqttdb/persistence"
	"github.com/mqttdb/mqttdb/types"
)

// What is known of the packet ids of QoS 2 messages from the broker [S4.2] is
// stored as marks of the queue that the messages are in:
//
//	packet/<id: 4 hex digits>  state: 1 open, 2 a tombstone  hash: 16 bytes
//	packet/last                uvarint: number of the latest group of packets
//
// An id is open from the commit of its message to that of its PUBREL. Then a
// tombstone is left, for some brokers send what was completed once more.
const (
	// PacketMark begins the keys of all of them.
	PacketMark = "packet/"

	markLastPacket = "packet/last"

	packetOpen byte = 1
	packetDone byte = 2
)

// contentHash is what a message is known again by: the first half of the SHA-256
// of the length of its topic, as a uvarint, the topic and the payload.
type contentHash [16]byte

func hashOf(m *types.Message) contentHash {
	h := sha256.New()
	h.Write(binary.AppendUvarint(make([]byte, 0, binary.MaxVarintLen64), uint64(len(m.Topic))))
	h.Write([]byte(m.Topic))
	h.Write(m.Payload)
	var sum [sha256.Size]byte
	return contentHash(h.Sum(sum[:0])[:len(contentHash{})])
}

// packet is what is known of a packet id.
type packet struct {
	hash contentHash
	open bool   // else it is a tombstone
	link uint64 // on which it was heard of last
	turn uint64 // of a tombstone: its place among them
}

// mark is what stores p.
func (p packet) mark(id uint16) persistence.Mark {
	state := packetDone
	if p.open {
		state = packetOpen
	}
	return persistence.Mark{Key: packetKey(id), Value: append([]byte{state}, p.hash[:]...)}
}

func packetKey(id uint16) string { return fmt.Sprintf("%s%04x", PacketMark, id) }

// noPacket removes what is stored of an id.
func noPacket(id uint16) persistence.Mark { return persistence.Mark{Key: packetKey(id)} }

// packets knows the packet ids of a session. It decides what is a repeat, and
// says what has to be recorded of that; it knows neither clock nor store.
type packets struct {
	most  int // tombstones, or twice as many ids as were open at a time, if that is more
	known map[uint16]packet
	open  int    // of known
	peak  int    // most that were open at a time
	link  uint64 // number of the present link
	turn  uint64 // of the latest tombstone
	line  []turn // the tombstones, oldest first, and turns that others of the same id have replaced
}

// turn is the place of a tombstone.
type turn struct {
	id     uint16
	number uint64
}

// load makes p what marks say, and returns the number of the latest group. What p
// knew before says only on which link an id was heard of.
func (p *packets) load(marks []persistence.Mark) (last uint64) {
	before := p.known
	p.forget()
	var tombstones []uint16
	for _, m := range marks {
		if m.Key == markLastPacket {
			last, _ = binary.Uvarint(m.Value)
			continue
		}
		digits, ok := strings.CutPrefix(m.Key, PacketMark)
		number, err := strconv.ParseUint(digits, 16, 16)
		if !ok || err != nil || len(m.Value) != 1+len(contentHash{}) {
			continue
		}
		id, known := uint16(number), packet{hash: contentHash(m.Value[1:]), open: m.Value[0] == packetOpen}
		known.link, known.turn = before[id].link, before[id].turn
		p.set(id, known)
		if !known.open {
			tombstones = append(tombstones, id)
		}
	}
	slices.SortStableFunc(tombstones, func(a, b uint16) int {
		one, two := p.known[a], p.known[b]
		return cmp.Or(cmp.Compare(one.link, two.link), cmp.Compare(one.turn, two.turn))
	})
	for _, id := range tombstones {
		p.bury(id, p.known[id].hash, p.known[id].link)
	}
	p.peak = max(p.peak, (len(tombstones)+1)/2) // as many as were let live before
	return last
}

func (p *packets) forget() { p.known, p.open, p.line = make(map[uint16]packet), 0, nil }

// set makes known what is known of id.
func (p *packets) set(id uint16, known packet) {
	if p.known[id].open {
		p.open--
	}
	if known.open {
		p.open++
		p.peak = max(p.peak, p.open)
	}
	p.known[id] = known
}

// remove forgets id, and returns what records that.
func (p *packets) remove(id uint16) persistence.Mark {
	p.set(id, packet{})
	delete(p.known, id)
	return noPacket(id)
}

// bury makes id, which was heard of on that link, a tombstone, the latest.
func (p *packets) bury(id uint16, hash contentHash, link uint64) {
	p.turn++
	p.set(id, packet{hash: hash, link: link, turn: p.turn})
	p.line = append(p.line, turn{id, p.turn})
	if len(p.line) > 2*(len(p.known)-p.open)+100 {
		p.line = slices.DeleteFunc(p.line, func(t turn) bool { return !p.stands(t) })
	}
}

// stands says whether t is the place of a tombstone still.
func (p *packets) stands(t turn) bool {
	known, ok := p.known[t.id]
	return ok && !known.open && known.turn == t.number
}

// oldest returns the id of the oldest tombstone; false if there is none.
func (p *packets) oldest() (uint16, bool) {
	for len(p.line) > 0 {
		if p.stands(p.line[0]) {
			return p.line[0].id, true
		}
		p.line = p.line[1:]
	}
	return 0, false
}

// lastPacket notes the number of the latest group.
func lastPacket(number uint64) persistence.Mark {
	return persistence.Mark{Key: markLastPacket, Value: binary.AppendUvarint(nil, number)}
}

// begin begins with a new link. If the broker has not kept the session nothing
// that was known of it counts.
func (p *packets) begin(present bool) (marks []persistence.Mark) {
	p.link++
	if present {
		return nil
	}
	for _, id := range slices.Sorted(maps.Keys(p.known)) {
		marks = append(marks, noPacket(id))
	}
	p.forget()
	p.peak = 0
	return marks
}

// repeats says whether a QoS 2 PUBLISH is one that was stored before. Without DUP
// it never is: then it is a new message. A tombstone is open then, until the next
// PUBREL; that need not be recorded.
func (p *packets) repeats(id uint16, dup bool, hash contentHash) bool {
	known, ok := p.known[id]
	if !ok || !dup || known.hash != hash {
		return false
	}
	p.set(id, packet{hash: hash, open: true, link: p.link})
	return true
}

// begun takes a QoS 2 PUBLISH that is to be stored, and is no repeat.
func (p *packets) begun(id uint16, hash contentHash) persistence.Mark {
	p.set(id, packet{hash: hash, open: true, link: p.link})
	return p.known[id].mark(id)
}

// fresh takes that the broker has begun with new messages, by a PUBLISH without DUP
// under this id: what was left of the id, and the tombstones of earlier links, do
// not count any more. What it sends again it has sent by then.
func (p *packets) fresh(id uint16) (marks []persistence.Mark) {
	if _, ok := p.known[id]; ok {
		marks = append(marks, p.remove(id))
	}
	for {
		old, ok := p.oldest()
		if !ok || p.known[old].link == p.link {
			return marks
		}
		marks = append(marks, p.remove(old))
	}
}

// released takes PUBREL. One that comes again lets the tombstone stand for another
// link: the broker may not know yet that we have it.
func (p *packets) released(id uint16) (marks []persistence.Mark) {
	known, ok := p.known[id]
	if !ok {
		return nil
	}
	p.bury(id, known.hash, p.link)
	if known.open {
		marks = append(marks, p.known[id].mark(id))
	}
	if len(p.known)-p.open > max(p.most, 2*p.peak) {
		old, _ := p.oldest()
		marks = append(marks, p.remove(old))
	}
	return marks
}
