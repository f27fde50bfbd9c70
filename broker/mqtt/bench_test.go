//go:build unix

package mqtt_test

import (
	"bufio"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"syscall"
	"testing"
	"time"

	"github.com/mqttdb/mqttdb/broker"
	"github.com/mqttdb/mqttdb/broker/mqtt"
	"github.com/mqttdb/mqttdb/internal/mosquitto"
	"github.com/mqttdb/mqttdb/types"
)

const (
	benchTopic  = "sensors/room1/t1"
	benchWindow = 100
	benchSize   = 200
)

// BenchmarkPublishQoS1 publishes to a real mosquitto with 100 messages in
// flight: by a link, and by a bare loop that writes bytes and counts answers,
// which is the limit. CPU is this process's, user and system.
func BenchmarkPublishQoS1(b *testing.B) {
	m := mosquitto.Start(b, mosquitto.WithConfig("max_queued_messages 0"))
	b.Run("bare", func(b *testing.B) { measured(b, func() { barePublish(b, m.Addr(), b.N) }) })
	b.Run("link", func(b *testing.B) { measured(b, func() { linkPublish(b, m.Addr(), b.N) }) })
}

func measured(b *testing.B, run func()) {
	b.ReportAllocs()
	before := cpu()
	b.ResetTimer()
	run()
	b.StopTimer()
	b.ReportMetric(float64((cpu()-before).Nanoseconds())/1e3/float64(b.N), "cpu-µs/msg")
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "msg/s")
}

func cpu() time.Duration {
	var u syscall.Rusage
	syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// linkPublish keeps the window full: what was acknowledged is what may follow.
func linkPublish(b *testing.B, addr string, n int) {
	acked := make(chan int, n+1)
	down := make(chan error, 1)
	d := mqtt.Dialer{Network: tcp(addr)}
	link, _, err := d.Dial(context.Background(), broker.ConnectOptions{ClientID: "bench", CleanSession: true, Protocol: broker.MQTT311, KeepAlive: time.Minute}, func(e broker.Event) {
		switch e := e.(type) {
		case broker.Acked:
			acked <- len(e.Acks)
		case broker.Down:
			down <- e.Err
		}
	})
	if err != nil {
		b.Fatal(err)
	}
	payload := make([]byte, benchSize)
	batch := make([]broker.Publish, 0, benchWindow)
	for sent, done := 0, 0; done < n; {
		batch = batch[:0]
		for ; sent < n && sent-done < benchWindow; sent++ {
			batch = append(batch, broker.Publish{ID: uint16(sent%60000 + 1), Tag: uint64(sent), Message: types.Message{Topic: benchTopic, Payload: payload, QoS: 1}})
		}
		if err := link.Publish(batch); err != nil {
			b.Fatal(err)
		}
		select {
		case k := <-acked:
			done += k
		case err := <-down:
			b.Fatal(err)
		}
		for more := true; more; {
			select {
			case k := <-acked:
				done += k
			default:
				more = false
			}
		}
	}
	link.Close(true)
	if err := <-down; err != nil {
		b.Fatal(err)
	}
}

// barePublish does the same with nothing but a socket.
func barePublish(b *testing.B, addr string, n int) {
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		b.Fatal(err)
	}
	defer conn.Close()
	in := bufio.NewReaderSize(conn, 64<<10)
	conn.Write([]byte("\x10\x10\x00\x04MQTT\x04\x02\x00\x3c\x00\x04bare"))
	if _, err := io.ReadFull(in, make([]byte, 4)); err != nil {
		b.Fatal(err)
	}
	payload := make([]byte, benchSize)
	var out []byte
	for sent, done := 0, 0; done < n; {
		out = out[:0]
		for ; sent < n && sent-done < benchWindow; sent++ {
			out = append(out, 0x32)
			out = binary.AppendUvarint(out, uint64(4+len(benchTopic)+len(payload)))
			out = binary.BigEndian.AppendUint16(out, uint16(len(benchTopic)))
			out = append(out, benchTopic...)
			out = binary.BigEndian.AppendUint16(out, uint16(sent%60000+1))
			out = append(out, payload...)
		}
		if _, err := conn.Write(out); err != nil {
			b.Fatal(err)
		}
		if _, err := in.Peek(4); err != nil {
			b.Fatal(err)
		}
		k := in.Buffered() / 4
		in.Discard(4 * k)
		done += k
	}
	fmt.Fprint(conn, "\xe0\x00")
}

func tcp(addr string) broker.Network {
	return func(ctx context.Context) (broker.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "tcp", addr)
	}
}
