package mqtt

import (
	"context"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mqttdb/mqttdb/broker"
)

// S8.1: on hold nothing more is read, for as long as it takes; the broker is not
// taken for dead, and hears our PINGREQs. Then all that waited is told.
func TestHold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		near, conn := net.Pipe()
		d := Dialer{Network: func(context.Context) (broker.Conn, error) { return near, nil }}
		f := &far{conn: conn, began: time.Now()}
		go func() {
			conn.Read(make([]byte, 1000))
			conn.Write(connackAccepted)
			f.serve()
		}()
		o := options()
		o.KeepAlive = interval
		received, down := 0, make(chan error, 1)
		link, _, err := d.Dial(t.Context(), o, func(e broker.Event) {
			switch e := e.(type) {
			case broker.Received:
				received += len(e.Packets)
			case broker.Down:
				down <- e.Err
			}
		})
		if err != nil {
			t.Fatal(err)
		}
		link.(broker.Holder).Hold(true)
		publish := []byte{0x30, 3, 0, 1, 't'}
		go func() {
			for range 10 {
				conn.Write(publish)
			}
		}()
		time.Sleep(20 * interval)
		synctest.Wait()
		if received > 1 { // a read may have been under way
			t.Errorf("%d messages were told on hold", received)
		}
		if len(down) > 0 {
			t.Fatalf("the link ended: %v", <-down)
		}
		if n := len(f.pings); n < 15 {
			t.Errorf("%d PINGREQs in %v", n, 20*interval)
		}
		link.(broker.Holder).Hold(false)
		synctest.Wait()
		if received != 10 {
			t.Errorf("%d messages were told, want 10", received)
		}
		let := time.Now()
		<-down // nobody answers PINGREQ
		if took := time.Since(let); took > 2*interval {
			t.Errorf("a dead broker was noticed after %v", took)
		}
		conn.Close()
	})
}

// A link on hold can be closed.
func TestHoldAndClose(t *testing.T) {
	for name, graceful := range map[string]bool{"gracefully": true, "at once": false} {
		t.Run(name, func(t *testing.T) {
			p, link := connect(t, nil, options())
			link.(broker.Holder).Hold(true)
			go p.conn.Write([]byte{0x30, 3, 0, 1, 't'}) // it may never be read
			link.Close(graceful)
			if graceful {
				p.hears([]byte{0xe0, 0})
				p.conn.Close()
			}
			if err := p.down(); err != nil {
				t.Error(err)
			}
		})
	}
}
