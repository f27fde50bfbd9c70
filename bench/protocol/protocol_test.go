package protocol_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"testing"

	"github.com/mqttdb/mqttdb/bench/protocol"
)

// Whatever byte of a message is changed, it is seen.
func TestParseSeesEveryChange(t *testing.T) {
	b := make([]byte, protocol.Size)
	protocol.Fill(b, 7, 1<<40+300)
	if producer, number, err := protocol.Parse(b); producer != 7 || number != 1<<40+300 || err != nil {
		t.Fatalf("it reads as %d, %d, %v", producer, number, err)
	}
	for i := range b {
		b[i] ^= 0x10
		if _, _, err := protocol.Parse(b); !errors.Is(err, protocol.ErrDamaged) {
			t.Errorf("byte %d was changed: %v", i, err)
		}
		b[i] ^= 0x10
	}
	for _, other := range [][]byte{nil, b[:len(b)-1], append(slices.Clone(b), 0)} {
		if _, _, err := protocol.Parse(other); !errors.Is(err, protocol.ErrDamaged) {
			t.Errorf("%d bytes: %v", len(other), err)
		}
	}
}

// shelf is a queue that notes what it is given.
type shelf struct {
	mu     sync.Mutex
	got    map[int][]uint64 // numbers of each producer
	open   map[string]int   // of each topic: handed over and not settled
	most   int              // of open
	broken error
	closed bool
}

func (s *shelf) Enqueue(_ context.Context, topic string, payload []byte) (func() error, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	producer, number, err := protocol.Parse(payload)
	if err != nil || topic != protocol.Topic(producer) {
		return nil, fmt.Errorf("%s: %w", topic, err)
	}
	s.got[producer] = append(s.got[producer], number)
	s.open[topic]++
	s.most = max(s.most, s.open[topic])
	return func() error {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.open[topic]--
		return s.broken
	}, nil
}

func (s *shelf) Pending() int { return len(s.got) }

func (s *shelf) Close(context.Context) error { s.closed = true; return nil }

func TestServe(t *testing.T) {
	s := &shelf{got: map[int][]uint64{}, open: map[string]int{}}
	in, orders := io.Pipe()
	answers, out := io.Pipe()
	served := make(chan error, 1)
	go func() {
		served <- protocol.Serve(t.Context(), in, out, func(context.Context) (protocol.Queue, error) { return s, nil })
	}()
	lines := bufio.NewScanner(answers)
	say := func(o protocol.Order) (a protocol.Answer) {
		t.Helper()
		if err := json.NewEncoder(orders).Encode(o); err != nil {
			t.Fatal(err)
		}
		if !lines.Scan() {
			t.Fatal("there is no answer")
		}
		if err := json.Unmarshal(lines.Bytes(), &a); err != nil {
			t.Fatal(err)
		}
		return a
	}
	if a := say(protocol.Order{Do: "pending"}); a.Error == "" {
		t.Error("it tells what is pending before it is open")
	}
	if a := say(protocol.Order{Do: "open"}); !a.OK || a.Pending == nil || *a.Pending != 0 {
		t.Errorf("open: %+v", a)
	}
	a := say(protocol.Order{Do: "enqueue", Producers: 3, Window: 4, Messages: 100, First: []uint64{5, 0, 1000}})
	if a.Stored != 100 || len(a.Next) != 3 || s.most != 4 {
		t.Fatalf("enqueue: %+v, %d at once", a, s.most)
	}
	for p, first := range []uint64{5, 0, 1000} {
		for i, number := range s.got[p] {
			if number != first+uint64(i) {
				t.Fatalf("producer %d has published %d as its message %d", p, number, i)
			}
		}
		if got := uint64(len(s.got[p])); a.Next[p] != first+got {
			t.Errorf("producer %d goes on with %d behind %d messages", p, a.Next[p], got)
		}
	}
	if a := say(protocol.Order{Do: "enqueue", Producers: 1, Window: 1, Seconds: 0.01}); a.Stored == 0 || a.Seconds < 0.01 || a.P99 < a.P50 || a.P50 == 0 {
		t.Errorf("enqueue for a time: %+v", a)
	}
	for _, o := range []protocol.Order{
		{Do: "open"}, {Do: "sing"}, {Do: "enqueue", Window: 1, Messages: 1},
		{Do: "enqueue", Producers: 2, Window: 1, Messages: 1, First: []uint64{1}},
	} {
		if a := say(o); a.Error == "" {
			t.Errorf("%+v is answered with %+v", o, a)
		}
	}
	s.broken = errors.New("the disk is full")
	if a := say(protocol.Order{Do: "enqueue", Producers: 1, Window: 1, Messages: 1}); a.Error != s.broken.Error() {
		t.Errorf("what cannot be stored is answered with %+v", a)
	}
	if a := say(protocol.Order{Do: "close"}); !a.OK || !s.closed {
		t.Errorf("close: %+v", a)
	}
	if err := <-served; err != nil {
		t.Error(err)
	}
}

func TestLatencies(t *testing.T) {
	var l protocol.Latencies
	if l.At(0.5) != 0 {
		t.Error("nothing has a median")
	}
	for i := range 100 {
		l = append(l, float32(99-i))
	}
	if l.At(0.5) != 50 || l.At(0.99) != 99 || l.At(1) != 99 {
		t.Errorf("%v %v %v", l.At(0.5), l.At(0.99), l.At(1))
	}
}
