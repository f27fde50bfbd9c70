package listener

import (
	"bufio"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/mqttdb/mqttdb/config"
	"github.com/mqttdb/mqttdb/persistence/memory"
	"github.com/mqttdb/mqttdb/persistence/nutsdb"
	"github.com/mqttdb/mqttdb/runtime"
	"github.com/mqttdb/mqttdb/types"
)

// BenchmarkSessions is messages at QoS 1 to 64 persistent sessions that are
// online: each its own ones, or all of them the same; and the former with one
// session among them that does not read.
func BenchmarkSessions(b *testing.B) {
	for _, test := range []struct {
		name    string
		shared  bool
		stalled int
	}{{"own", false, 0}, {"own, one stalled", false, 1}, {"shared", true, 0}} {
		b.Run(test.name, func(b *testing.B) { benchSessions(b, 64, test.shared, test.stalled) })
	}
}

func benchSessions(b *testing.B, sessions int, shared bool, stalled int) {
	store, err := nutsdb.Open(b.TempDir(), nutsdb.Options{Lazy: func(string) bool { return false }})
	if err != nil {
		b.Fatal(err)
	}
	cfg := config.Default()
	local := NewLocal(nil)
	rt, err := runtime.Open(context.Background(), runtime.Options{Config: cfg, Durable: store, Volatile: memory.New(memory.Options{}), Local: local})
	if err != nil {
		b.Fatal(err)
	}
	server, err := Listen(context.Background(), Options{Endpoints: []Endpoint{{Addr: "127.0.0.1:0"}}, Sink: runtimeSink{rt}, Sessions: rt, Local: local})
	if err != nil {
		b.Fatal(err)
	}
	h := &house{t: b, rt: rt, server: server}
	var done sync.WaitGroup
	each := b.N/sessions + 1
	want := each
	if shared {
		want = each * sessions
	}
	for i := range sessions {
		c := h.connectKept(fmt.Sprint("s", i), false)
		topic := fmt.Sprint("t/", i)
		if shared {
			topic = "t/#"
		}
		c.subscribe(topic, 1)
		if i < stalled {
			continue
		}
		done.Go(func() { drain(b, c.Conn, c.r, want) })
	}
	payload := make([]byte, 200)
	room := make(chan struct{}, 1)
	b.ReportAllocs()
	b.ResetTimer()
	for n := range each * sessions {
		m := types.Passage{Message: types.Message{Topic: fmt.Sprint("t/", n%sessions), Payload: payload, QoS: 1}, Done: func(error) {}}
		for rt.RouteAll([]types.Passage{m}, func() { room <- struct{}{} }) == 0 {
			<-room
		}
	}
	done.Wait()
	b.StopTimer()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	server.Close(ctx)
	rt.Close(ctx)
}

// drain reads n messages and acknowledges them.
func drain(b *testing.B, conn net.Conn, r *bufio.Reader, n int) {
	conn.SetReadDeadline(time.Time{})
	var acks, body []byte
	for n > 0 {
		first, err := r.ReadByte()
		if err != nil {
			b.Error(err)
			return
		}
		size, err := binary.ReadUvarint(r)
		if err != nil {
			b.Error(err)
			return
		}
		body = append(body[:0], make([]byte, size)...)
		if _, err := io.ReadFull(r, body); err != nil {
			b.Error(err)
			return
		}
		if first>>4 == 3 {
			at := 2 + int(binary.BigEndian.Uint16(body))
			acks = append(acks, 0x40, 2, body[at], body[at+1])
			n--
		}
		if r.Buffered() == 0 || n == 0 {
			if _, err := conn.Write(acks); err != nil {
				b.Error(err)
				return
			}
			acks = acks[:0]
		}
	}
}
