//go:build unix

package crash

import (
	"context"
	"encoding/binary"
	"fmt"
	"sync"
	"testing"
	"time"
)

const (
	pingreqType  = 0xC0
	pingrespType = 0xD0
)

// speaker publishes numbered messages at one QoS, pipelined, on a topic of its
// own. What is not acknowledged when its connection breaks it says again on the
// next one, first: as another attempt, so that each message that the gateway
// stores is told from all others. At QoS 0 PINGRESP stands for an acknowledgement.
type speaker struct {
	t       testing.TB
	lane    int // its number among the speakers
	qos     byte
	target  func(context.Context) (string, error)
	changed *pulse

	mu    sync.Mutex
	limit int   // how many messages it may begin
	begun int   // numbers 1 to that were sent at least once
	acked int   // of these, acknowledged
	open  []int // the others, in order
	tries map[int]int
}

// utterance is what a payload says.
type utterance struct{ lane, number, attempt int }

func (u utterance) String() string { return fmt.Sprintf("%d %d %d", u.lane, u.number, u.attempt) }

func parseUtterance(payload []byte) (u utterance, err error) {
	_, err = fmt.Sscan(string(payload), &u.lane, &u.number, &u.attempt)
	return u, err
}

// speakTo starts a speaker for each QoS; they wait for more.
func speakTo(t testing.TB, changed *pulse, target func(context.Context) (string, error), qos ...byte) []*speaker {
	ctx, cancel := context.WithCancel(context.Background())
	var all []*speaker
	var over sync.WaitGroup
	for lane, q := range qos {
		s := &speaker{t: t, lane: lane, qos: q, target: target, changed: changed, tries: map[int]int{}}
		over.Go(func() { s.run(ctx) })
		all = append(all, s)
	}
	t.Cleanup(func() {
		cancel()
		over.Wait()
	})
	return all
}

// more lets it begin n more messages.
func (s *speaker) more(n int) {
	s.mu.Lock()
	s.limit += n
	s.mu.Unlock()
	s.changed.tell()
}

// counts says how many messages were begun and acknowledged, and whether that is
// all that it may.
func (s *speaker) counts() (begun, acked int, done bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.begun, s.acked, s.begun == s.limit && s.acked == s.begun
}

func (s *speaker) run(ctx context.Context) {
	for ctx.Err() == nil {
		addr, err := s.target(ctx)
		if err != nil {
			return
		}
		c, _, err := connect(ctx, addr, fmt.Sprintf("speaker-%d", s.lane), true)
		if err != nil {
			pause(ctx, time.Millisecond)
			continue
		}
		stop := context.AfterFunc(ctx, func() { c.Close() })
		s.speak(ctx, c)
		stop()
		c.Close()
	}
}

// speak publishes until the connection breaks.
func (s *speaker) speak(ctx context.Context, c *client) {
	s.mu.Lock()
	again := append([]int(nil), s.open...)
	s.mu.Unlock()
	under := map[uint16]int{} // packet ids on this connection
	var pings []int
	last := uint16(0)
	for ctx.Err() == nil {
		for len(under)+len(pings) < window {
			var n int
			if len(again) > 0 {
				n, again = again[0], again[1:]
			} else if n = s.begin(); n == 0 {
				break
			}
			last++
			c.w.Write(s.packet(n, last))
			if s.qos == 0 {
				pings = append(pings, n)
			} else {
				under[last] = n
			}
		}
		if c.r.Buffered() == 0 && c.w.Flush() != nil {
			return
		}
		if len(under)+len(pings) == 0 {
			next := s.changed.next()
			if s.mayBegin() {
				continue
			}
			select {
			case <-next:
			case <-ctx.Done():
			}
			continue
		}
		first, body, err := c.read()
		if err != nil {
			return
		}
		switch {
		case first == pingrespType && len(pings) > 0:
			s.acknowledged(pings[0])
			pings = pings[1:]
		case first == pubackType && s.qos == 1, first == pubrecType && s.qos == 2:
			id := binary.BigEndian.Uint16(body)
			s.acknowledged(under[id])
			if s.qos == 1 {
				delete(under, id)
			} else {
				under[id] = 0 // until PUBCOMP
				c.w.Write(ackPacket(pubrelType, id))
			}
		case first == pubcompType && s.qos == 2:
			delete(under, binary.BigEndian.Uint16(body))
		default:
			s.t.Errorf("a publisher at QoS %d got packet %#x %x", s.qos, first, body)
			return
		}
	}
}

// packet is the next attempt for a message.
func (s *speaker) packet(n int, id uint16) []byte {
	s.mu.Lock()
	s.tries[n]++
	u := utterance{s.lane, n, s.tries[n]}
	s.mu.Unlock()
	topic := text(fmt.Sprintf("s/%d", s.lane))
	if s.qos == 0 {
		return append(packet(publishType, topic, []byte(u.String())), pingreqType, 0)
	}
	return packet(publishType|s.qos<<1, topic, []byte{byte(id >> 8), byte(id)}, []byte(u.String()))
}

func (s *speaker) mayBegin() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.begun < s.limit
}

// begin returns the number of a new message, or 0.
func (s *speaker) begin() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.begun >= s.limit {
		return 0
	}
	s.begun++
	s.open = append(s.open, s.begun)
	return s.begun
}

func (s *speaker) acknowledged(n int) {
	s.mu.Lock()
	for i, o := range s.open {
		if o == n {
			s.open = append(s.open[:i], s.open[i+1:]...)
			s.acked++
			delete(s.tries, n)
			break
		}
	}
	s.mu.Unlock()
	s.changed.tell()
}
