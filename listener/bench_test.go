package listener

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/mqttdb/mqttdb/types"
)

// groupSink commits in groups, as the queue does: what arrives while a commit
// is under way is the next group.
type groupSink struct {
	mu   sync.Mutex
	next []func(error)
	wake chan struct{}
}

func newGroupSink(b *testing.B) *groupSink {
	s := &groupSink{wake: make(chan struct{}, 1)}
	stop := make(chan struct{})
	b.Cleanup(func() { close(stop) })
	go func() {
		var group []func(error)
		for {
			select {
			case <-s.wake:
			case <-stop:
				return
			}
			s.mu.Lock()
			group, s.next = s.next, group[:0]
			s.mu.Unlock()
			for _, done := range group {
				done(nil)
			}
		}
	}()
	return s
}

func (s *groupSink) Publish(messages []types.Passage, _ func()) int {
	s.mu.Lock()
	first := len(s.next) == 0
	for i := range messages {
		s.next = append(s.next, messages[i].Done)
	}
	s.mu.Unlock()
	if first {
		select {
		case s.wake <- struct{}{}:
		default:
		}
	}
	return len(messages)
}

type instantSink struct{}

func (instantSink) Publish(messages []types.Passage, _ func()) int {
	for i := range messages {
		messages[i].Done(nil)
	}
	return len(messages)
}

// BenchmarkPublish measures 64 clients that publish 200 bytes at QoS 1, with
// the load generator in the same process: µs of CPU per message for both.
func BenchmarkPublish(b *testing.B) {
	const clients = 64
	for _, sink := range []string{"instant", "group"} {
		for _, window := range []int{1, 20} {
			b.Run(fmt.Sprintf("sink=%s/window=%d", sink, window), func(b *testing.B) {
				o := Options{Sink: instantSink{}}
				if sink == "group" {
					o.Sink = newGroupSink(b)
				}
				s, _ := start(b, o)
				conns := make([]net.Conn, clients)
				for i := range conns {
					conns[i] = dialBench(b, s, i)
					defer conns[i].Close()
				}
				b.ReportAllocs()
				b.ResetTimer()
				before, began := cpuTime(), time.Now()
				var all sync.WaitGroup
				for i, c := range conns {
					n := b.N / clients
					if i < b.N%clients {
						n++
					}
					all.Go(func() { publishMany(b, c, i, n, window) })
				}
				all.Wait()
				b.StopTimer()
				b.ReportMetric(float64(b.N)/time.Since(began).Seconds(), "msg/s")
				b.ReportMetric(float64(cpuTime()-before)/1e3/float64(b.N), "µsCPU/msg")
			})
		}
	}
}

func dialBench(b *testing.B, s *Server, i int) net.Conn {
	c, err := net.Dial("tcp", s.Addr().String())
	if err != nil {
		b.Fatal(err)
	}
	id := fmt.Sprintf("bench-%d", i)
	packet := append([]byte{0x10, byte(12 + len(id)), 0, 4, 'M', 'Q', 'T', 'T', 4, 2, 0, 60, 0, byte(len(id))}, id...)
	c.Write(packet)
	if _, err := io.ReadFull(c, make([]byte, 4)); err != nil {
		b.Fatal(err)
	}
	return c
}

// publishMany keeps window messages on the way until n are acknowledged.
func publishMany(b *testing.B, c net.Conn, client, n, window int) {
	topic := fmt.Sprintf("sensors/%04d/temp", client)
	payload := make([]byte, 200)
	r := bufio.NewReaderSize(c, 4096)
	var buf []byte
	sent, acked := 0, 0
	for acked < n {
		buf = buf[:0]
		for sent < n && sent-acked < window {
			sent++
			id := uint16(sent%60000 + 1)
			size := 2 + len(topic) + 2 + len(payload)
			buf = append(buf, 0x32, byte(size)|128, byte(size>>7), 0, byte(len(topic)))
			buf = append(append(buf, topic...), byte(id>>8), byte(id))
			buf = append(buf, payload...)
		}
		if len(buf) > 0 {
			if _, err := c.Write(buf); err != nil {
				b.Error(err)
				return
			}
		}
		for first := true; first || r.Buffered() >= 4; first = false {
			p, err := r.Peek(4)
			if err != nil || p[0] != 0x40 {
				b.Errorf("%x, %v instead of PUBACK", p, err)
				return
			}
			r.Discard(4)
			acked++
		}
	}
}

func cpuTime() time.Duration {
	var u syscall.Rusage
	syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
