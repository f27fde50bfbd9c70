package mqtt

import (
	"context"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mqttdb/mqttdb/broker"
	"github.com/mqttdb/mqttdb/types"
)

const interval = 30 * time.Second

// far is a broker's end that reads what comes, at its own pace, and answers
// what it is told to.
type far struct {
	conn    net.Conn
	pings   []time.Duration
	answers bool
	began   time.Time
	stalls  func() // called before each read
}

func (f *far) serve() {
	b := make([]byte, 64<<10)
	for {
		if f.stalls != nil {
			f.stalls()
		}
		n, err := f.conn.Read(b)
		if err != nil {
			return
		}
		if n == 2 && b[0] == 0xc0 {
			f.pings = append(f.pings, time.Since(f.began))
			if f.answers {
				f.conn.Write([]byte{0xd0, 0})
			}
		}
	}
}

// up makes a link with a keepalive, in a bubble of fake time.
func up(t *testing.T, keepAlive time.Duration, f *far) (broker.Link, chan error) {
	t.Helper()
	near, conn := net.Pipe()
	f.conn = conn
	d := Dialer{Network: func(context.Context) (broker.Conn, error) { return near, nil }}
	go func() {
		conn.Read(make([]byte, 1000))
		conn.Write(connackAccepted)
		f.serve()
	}()
	down := make(chan error, 1)
	o := options()
	o.KeepAlive = keepAlive
	f.began = time.Now()
	link, _, err := d.Dial(t.Context(), o, func(e broker.Event) {
		if d, ok := e.(broker.Down); ok {
			down <- d.Err
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	return link, down
}

// deadWithin waits for Down and checks that it came of silence, in time.
func deadWithin(t *testing.T, began time.Time, down chan error) {
	t.Helper()
	err := <-down
	took := time.Since(began)
	if err == nil || !strings.Contains(err.Error(), "no answer from the broker for") && !strings.Contains(err.Error(), "timeout") {
		t.Errorf("Down: %v", err)
	}
	if took > 2*interval || took < interval {
		t.Errorf("found out after %v, the keepalive is %v", took, interval)
	}
}

func TestKeepaliveIdle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &far{answers: true}
		link, down := up(t, interval, f)
		time.Sleep(10*interval + interval/2)
		link.Close(false)
		if err := <-down; err != nil {
			t.Errorf("the link did not live: %v", err)
		}
		synctest.Wait()
		if len(f.pings) != 10 || f.pings[0] != interval {
			t.Errorf("PINGREQ at %v", f.pings)
		}
	})
}

func TestKeepaliveFindsAHalfOpenLinkWhileIdle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &far{}
		_, down := up(t, interval, f)
		deadWithin(t, f.began, down)
		synctest.Wait()
		if len(f.pings) != 1 {
			t.Errorf("PINGREQ at %v", f.pings)
		}
	})
}

// The other side takes bytes (a kernel's buffers do, for long), but says
// nothing any more.
func TestKeepaliveFindsAHalfOpenLinkWhilePublishing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &far{}
		link, down := up(t, interval, f)
		for id := uint16(1); ; id++ {
			err := link.Publish([]broker.Publish{{ID: id, Message: types.Message{Topic: "t", QoS: 1}}})
			if err != nil {
				break
			}
			time.Sleep(interval / 10)
			if time.Since(f.began) > 3*interval {
				t.Fatal("it was never found out")
			}
		}
		deadWithin(t, f.began, down)
	})
}

// The other side takes nothing at all.
func TestKeepaliveFindsAStalledWrite(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		stop := make(chan struct{})
		f := &far{stalls: func() { <-stop }}
		link, down := up(t, interval, f)
		if err := link.Publish([]broker.Publish{{ID: 1, Message: types.Message{Topic: "t", QoS: 1}}}); err != nil {
			t.Fatal(err)
		}
		deadWithin(t, f.began, down)
		close(stop)
	})
}

// A slow network that takes a large message piece by piece is no dead one,
// although nothing can be answered meanwhile.
func TestKeepaliveLetsASlowWriteGoOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &far{answers: true, stalls: func() { time.Sleep(interval / 2) }}
		link, down := up(t, interval, f)
		const size = 20 * writeChunk // 20 pieces, half an interval each
		if err := link.Publish([]broker.Publish{{ID: 1, Message: types.Message{Topic: "t", QoS: 1, Payload: make([]byte, size)}}}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(9 * interval)
		select {
		case err := <-down:
			t.Fatalf("after %v: %v", time.Since(f.began), err)
		default:
		}
		link.Close(false)
		<-down
		time.Sleep(interval) // the far end wakes up and sees it
	})
}

// The broker counts what it hears [MQTT-3.1.2-24]: a client that only receives
// has to ping all the same.
func TestKeepaliveWhileOnlyReceiving(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &far{answers: true}
		link, down := up(t, interval, f)
		for range 30 {
			time.Sleep(interval / 10)
			f.conn.Write([]byte{0x30, 4, 0, 1, 'a', 'x'})
		}
		link.Close(false)
		if err := <-down; err != nil {
			t.Errorf("Down: %v", err)
		}
		synctest.Wait()
		if len(f.pings) < 2 || f.pings[0] > interval {
			t.Errorf("PINGREQ at %v", f.pings)
		}
	})
}

func TestKeepaliveOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &far{}
		link, down := up(t, 0, f)
		time.Sleep(100 * time.Hour)
		link.Close(false)
		if err := <-down; err != nil {
			t.Errorf("Down: %v", err)
		}
		synctest.Wait()
		if len(f.pings) != 0 {
			t.Errorf("PINGREQ at %v", f.pings)
		}
	})
}

// Without a keepalive a write that goes nowhere still ends the link.
func TestWriteTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		stop := make(chan struct{})
		f := &far{stalls: func() { <-stop }}
		link, down := up(t, 0, f)
		if err := link.Release([]uint16{1}); err != nil {
			t.Fatal(err)
		}
		err := <-down
		if took := time.Since(f.began); err == nil || !strings.Contains(err.Error(), "write to the broker") || took != defaultWriteTimeout {
			t.Errorf("after %v: %v", took, err)
		}
		close(stop)
	})
}

// A graceful close is over after a while, whatever the broker does.
func TestGracefulCloseIsBounded(t *testing.T) {
	tests := []struct {
		name  string
		reads bool
	}{
		{"a broker that does not read", false},
		{"a broker that does not hang up", true},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				stop := make(chan struct{})
				f := &far{stalls: func() {
					if !test.reads {
						<-stop
					}
				}}
				link, down := up(t, interval, f)
				link.Close(true)
				if err := <-down; err != nil || time.Since(f.began) != defaultCloseTimeout {
					t.Errorf("after %v: %v", time.Since(f.began), err)
				}
				close(stop)
			})
		})
	}
}

// Acknowledgements that come behind DISCONNECT still count, messages do not:
// nobody could acknowledge them.
func TestLastAcknowledgementsAreTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, link := connect(t, nil, options())
		if err := link.Publish([]broker.Publish{{Tag: 5, Message: types.Message{Topic: "a"}}, {ID: 1, Tag: 6, Message: types.Message{Topic: "a", QoS: 1}}}); err != nil {
			t.Fatal(err)
		}
		link.Close(true)
		p.hears([]byte("\x30\x03\x00\x01a\x32\x05\x00\x01a\x00\x01\xe0\x00"))
		synctest.Wait()
		p.says(0x40, 2, 0, 1, 0x32, 5, 0, 1, 'a', 0, 1)
		p.conn.Close()
		if err := p.down(); err != nil {
			t.Errorf("Down: %v", err)
		}
		var told []string
		for _, e := range p.events {
			told = append(told, show(e))
		}
		if got := strings.Join(told, "; "); got != "written 5; acked PUBACK 1; down: <nil>" {
			t.Error(got)
		}
	})
}
