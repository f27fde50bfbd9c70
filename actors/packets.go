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
//	packet/id/<id: 4 hex digits>  state: 1 open, 2 a tombstone  hash: 16 bytes
//	packet/last                   uvarint: number of the latest group of packets
//
// An id is open from the commit of its message to that of its PUBREL. Then a
// tombstone is left, for some brokers send what was completed once more.
const (
	markPacket     = "packet/"
	markPacketID   = "packet/id/"
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
	open bool // else it is a tombstone
	old  bool // of an earlier link
}

// mark is what stores p.
func (p packet) mark(id uint16) persistence.Mark {
	state := packetDone
	if p.open {
		state = packetOpen
	}
	return persistence.Mark{Key: packetKey(id), Value: append([]byte{state}, p.hash[:]...)}
}

func packetKey(id uint16) string { return fmt.Sprintf("%s%04x", markPacketID, id) }

// noPacket removes what is stored of an id.
func noPacket(id uint16) persistence.Mark { return persistence.Mark{Key: packetKey(id)} }

// packets knows the packet ids of a session. It decides what is a repeat, and
// says what has to be recorded of that; it knows neither clock nor store.
type packets struct {
	most  int // tombstones
	known map[uint16]packet
	done  []uint16 // tombstones, the oldest first
}

// load makes p what marks say, and returns the number of the latest group. What
// was left by this link, as far as p knew before, is not old.
func (p *packets) load(marks []persistence.Mark) (last uint64) {
	before := p.known
	p.known, p.done = make(map[uint16]packet), nil
	for _, m := range marks {
		if m.Key == markLastPacket {
			last, _ = binary.Uvarint(m.Value)
			continue
		}
		digits, ok := strings.CutPrefix(m.Key, markPacketID)
		id, err := strconv.ParseUint(digits, 16, 16)
		if !ok || err != nil || len(m.Value) != 1+len(contentHash{}) {
			continue
		}
		was, there := before[uint16(id)]
		p.known[uint16(id)] = packet{hash: contentHash(m.Value[1:]), open: m.Value[0] == packetOpen, old: !there || was.old}
		if m.Value[0] != packetOpen {
			p.done = append(p.done, uint16(id))
		}
	}
	slices.SortStableFunc(p.done, func(a, b uint16) int { return cmp.Compare(age(p.known[a]), age(p.known[b])) })
	return last
}

// age sorts what is old before what is not.
func age(p packet) int {
	if p.old {
		return 0
	}
	return 1
}

// lastPacket notes the number of the latest group.
func lastPacket(number uint64) persistence.Mark {
	return persistence.Mark{Key: markLastPacket, Value: binary.AppendUvarint(nil, number)}
}

// begin begins with a new link. If the broker has not kept the session nothing
// that was known of it counts.
func (p *packets) begin(present bool) (marks []persistence.Mark) {
	if present {
		for id, known := range p.known {
			known.old = true
			p.known[id] = known
		}
		return nil
	}
	for _, id := range slices.Sorted(maps.Keys(p.known)) {
		marks = append(marks, noPacket(id))
	}
	p.known, p.done = make(map[uint16]packet), nil
	return marks
}

// repeats says whether a QoS 2 PUBLISH is one that was stored before. Without DUP
// it never is: then it is a new message.
func (p *packets) repeats(id uint16, dup bool, hash contentHash) bool {
	known, ok := p.known[id]
	return ok && dup && known.hash == hash
}

// begun takes a QoS 2 PUBLISH that is to be stored, and is no repeat.
func (p *packets) begun(id uint16, hash contentHash) persistence.Mark {
	p.bury(id)
	p.known[id] = packet{hash: hash, open: true}
	return p.known[id].mark(id)
}

// fresh takes that the broker has begun with new messages, by a PUBLISH without DUP
// under this id: what was left of the id, and the tombstones of earlier links, do
// not count any more. What it sends again it has sent by then.
func (p *packets) fresh(id uint16) (marks []persistence.Mark) {
	if _, ok := p.known[id]; ok {
		marks = append(marks, p.remove(id))
	}
	kept := p.done[:0]
	for _, old := range p.done {
		if !p.known[old].old {
			kept = append(kept, old)
			continue
		}
		delete(p.known, old)
		marks = append(marks, noPacket(old))
	}
	p.done = kept
	return marks
}

// released takes PUBREL. It changes nothing if the id is not open.
func (p *packets) released(id uint16) (marks []persistence.Mark) {
	known, ok := p.known[id]
	if !ok || !known.open {
		return nil
	}
	known.open, known.old = false, false
	p.known[id] = known
	p.done = append(p.done, id)
	marks = append(marks, known.mark(id))
	if len(p.done) > p.most {
		marks = append(marks, p.remove(p.done[0]))
	}
	return marks
}

func (p *packets) remove(id uint16) persistence.Mark {
	p.bury(id)
	delete(p.known, id)
	return noPacket(id)
}

// bury takes id out of the tombstones.
func (p *packets) bury(id uint16) {
	if known, ok := p.known[id]; ok && !known.open {
		p.done = slices.DeleteFunc(p.done, func(d uint16) bool { return d == id })
	}
}
