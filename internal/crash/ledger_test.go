//go:build unix

package crash

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"slices"
	"strings"
	"sync"
)

// ledger knows what was published, what was acknowledged and what arrived, and
// passes judgement. It may be used concurrently.
type ledger struct {
	changed pulse

	mu       sync.Mutex
	topics   []account
	sends    int   // PUBLISH packets that publishers wrote, repetitions included
	arrivals int   // messages that arrived, duplicates included
	acked    int   // messages
	faults   []any // what cannot be, up to some
	verdict  verdict
}

// account is one topic. Numbers are from 0, in the order of publication.
type account struct {
	acked   []bool
	seen    []bool
	highest int // number of the latest first delivery, plus one
}

// verdict counts messages.
type verdict struct {
	published    int // sent at least once
	acknowledged int
	delivered    int // arrived at least once
	lost         int // acknowledged and not delivered
	disordered   int // arrived for the first time after a later one of their topic
	corrupt      int // arrivals that are not what was published
	duplicates   int // arrivals beyond the first
}

// good says that nothing was lost, reordered or changed.
func (v verdict) good() bool { return v.lost == 0 && v.disordered == 0 && v.corrupt == 0 }

func newLedger(topics int) *ledger { return &ledger{topics: make([]account, topics)} }

const topicPrefix = "load/größe/"

// topicName is the name of a topic by its index.
func topicName(topic int) string { return fmt.Sprintf("%s%03d", topicPrefix, topic) }

// A payload can be checked without knowing more: topic (2 bytes), number (8),
// length of all (4), noise, and the CRC32C of all before it (4).
const payloadFrame = 2 + 8 + 4 + 4

func castagnoli() *crc32.Table { return crc32.MakeTable(crc32.Castagnoli) }

func makePayload(topic, number int, noise []byte) []byte {
	be := binary.BigEndian
	b := make([]byte, 0, payloadFrame+len(noise))
	b = be.AppendUint16(b, uint16(topic))
	b = be.AppendUint64(b, uint64(number))
	b = be.AppendUint32(b, uint32(cap(b)))
	b = append(b, noise...)
	return be.AppendUint32(b, crc32.Checksum(b, castagnoli()))
}

func readPayload(b []byte) (topic, number int, err error) {
	be := binary.BigEndian
	if len(b) < payloadFrame {
		return 0, 0, fmt.Errorf("%d bytes", len(b))
	}
	end := len(b) - 4
	if be.Uint32(b[end:]) != crc32.Checksum(b[:end], castagnoli()) || int(be.Uint32(b[10:])) != len(b) {
		return 0, 0, fmt.Errorf("%d bytes that begin with %x: checksum or length", len(b), b[:10])
	}
	return int(be.Uint16(b)), int(be.Uint64(b[2:])), nil
}

// sent notes that a message was written to the gateway, perhaps again.
func (l *ledger) sent(topic, number int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.sends++
	a := &l.topics[topic]
	if number == len(a.seen) {
		l.verdict.published++
		a.seen, a.acked = append(a.seen, false), append(a.acked, false)
	}
}

// acknowledged notes that the gateway has taken a message.
func (l *ledger) acknowledged(topic, number int) {
	l.mu.Lock()
	if a := &l.topics[topic]; !a.acked[number] {
		a.acked[number] = true
		l.acked++
	}
	l.mu.Unlock()
	l.changed.tell()
}

// arrived notes that the far end got a message.
func (l *ledger) arrived(name string, payload []byte) {
	defer l.changed.tell()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.arrivals++
	topic, number, err := readPayload(payload)
	if err == nil && (topic >= len(l.topics) || name != topicName(topic) || number >= len(l.topics[topic].seen)) {
		err = fmt.Errorf("topic %q, number %d, which was never published there", name, number)
	}
	if err != nil {
		l.verdict.corrupt++
		l.note("an arrival is wrong", err)
		return
	}
	a := &l.topics[topic]
	switch {
	case a.seen[number]:
		l.verdict.duplicates++
		return
	case number < a.highest:
		l.verdict.disordered++
		l.note(fmt.Sprintf("topic %d: %d arrives for the first time after %d", topic, number, a.highest-1), nil)
	default:
		a.highest = number + 1
	}
	a.seen[number] = true
	l.verdict.delivered++
}

// fault notes what cannot be, so that the test fails.
func (l *ledger) fault(what string, err error) {
	l.mu.Lock()
	l.note(what, err)
	l.mu.Unlock()
	l.changed.tell()
}

func (l *ledger) note(what string, err error) {
	if len(l.faults) < 10 {
		l.faults = append(l.faults, fmt.Sprint(what, ": ", err))
	}
}

// judge says what holds now.
func (l *ledger) judge() verdict {
	l.mu.Lock()
	defer l.mu.Unlock()
	v := l.verdict
	v.acknowledged = l.acked
	for _, a := range l.topics {
		for number, acked := range a.acked {
			if acked && !a.seen[number] {
				v.lost++
			}
		}
	}
	return v
}

// begun is how many messages of each topic were published.
func (l *ledger) begun() []int {
	return l.each(func(a *account) int { return len(a.seen) })
}

// reached is, for each topic, the number after the latest first delivery.
func (l *ledger) reached() []int {
	return l.each(func(a *account) int { return a.highest })
}

func (l *ledger) each(what func(*account) int) []int {
	l.mu.Lock()
	defer l.mu.Unlock()
	list := make([]int, len(l.topics))
	for i := range l.topics {
		list[i] = what(&l.topics[i])
	}
	return list
}

// firstFrom is the lowest number, from n on, that has arrived of a topic.
func (l *ledger) firstFrom(topic, n int) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return n + slices.Index(l.topics[topic].seen[n:], true)
}

// unseen are the numbers of a topic that have not arrived.
func (l *ledger) unseen(topic int) (numbers []int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for n, seen := range l.topics[topic].seen {
		if !seen {
			numbers = append(numbers, n)
		}
	}
	return numbers
}

// counts are the numbers that tests wait for.
type counts struct{ published, sends, acked, arrivals int }

func (l *ledger) counts() counts {
	l.mu.Lock()
	defer l.mu.Unlock()
	return counts{l.verdict.published, l.sends, l.acked, l.arrivals}
}

// complaints are the faults, a line each.
func (l *ledger) complaints() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	var b strings.Builder
	for _, f := range l.faults {
		fmt.Fprintln(&b, f)
	}
	return b.String()
}
