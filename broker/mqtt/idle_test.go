package mqtt

import (
	"context"
	"io"
	"net"
	"runtime"
	"testing"

	"github.com/mqttdb/mqttdb/broker"
	"github.com/mqttdb/mqttdb/types"
)

// An idle link, also one that was busy before, takes at most 32 KiB and 2
// goroutines.
func TestIdleLinksAreSmall(t *testing.T) {
	const links = 1000
	tests := []struct {
		name string
		busy int // messages of 200 bytes before
	}{
		{"from the start", 0},
		{"after 500 messages", 500},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			memory, goroutines := usage()
			d := Dialer{}
			all := make([]broker.Link, links)
			ends := make([]net.Conn, links)
			downs := make(chan broker.Event, links)
			for i := range all {
				all[i], ends[i] = idle(t, &d, downs, test.busy)
			}
			moreMemory, moreGoroutines := usage()
			per := (moreMemory - memory) / links
			t.Logf("%d bytes and %.2f goroutines for each link", per, float64(moreGoroutines-goroutines)/links)
			if per > 32<<10 {
				t.Errorf("%d bytes for each link", per)
			}
			if moreGoroutines-goroutines > 2*links {
				t.Errorf("%d goroutines for %d links", moreGoroutines-goroutines, links)
			}
			for i := range all {
				all[i].Close(false)
				<-downs
				ends[i].Close()
			}
		})
	}
}

// idle makes a link whose far end no goroutine serves any more.
func idle(t *testing.T, d *Dialer, downs chan<- broker.Event, busy int) (broker.Link, net.Conn) {
	near, far := net.Pipe()
	d.Network = func(context.Context) (broker.Conn, error) { return near, nil }
	go func() {
		far.Read(make([]byte, 100))
		far.Write(connackAccepted)
	}()
	written := make(chan struct{}, 1)
	link, _, err := d.Dial(t.Context(), options(), func(e broker.Event) {
		switch e.(type) {
		case broker.Written:
			written <- struct{}{}
		case broker.Down:
			downs <- e
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	if busy > 0 {
		p := make([]broker.Publish, busy)
		size := 0
		for i := range p {
			p[i] = broker.Publish{Message: types.Message{Topic: "t", Payload: make([]byte, 200)}}
			size += len(appendPublish(nil, &p[i]))
		}
		if err := link.Publish(p); err != nil {
			t.Fatal(err)
		}
		if _, err := io.CopyN(io.Discard, far, int64(size)); err != nil {
			t.Fatal(err)
		}
		<-written
		for range calmReads { // what a broker answers, and then pings
			far.Write([]byte{0x40, 2, 0, 1})
		}
	}
	return link, far
}

func usage() (memory int64, goroutines int) {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapInuse + m.StackInuse), runtime.NumGoroutine()
}
