package listener

import (
	"bytes"
	"fmt"
	"runtime"
	"testing"
)

// S5.1, S5.2: of 64 clients one subscriber reads nothing, and one publisher
// publishes without reading what it is answered. The others publish far more than
// may wait for them, all of it is acknowledged, and memory does not grow.
func TestStalledClientsHoldLittle(t *testing.T) {
	const (
		others  = 62
		rounds  = 16
		window  = 50
		payload = 1 << 10 // together 49 MiB
		most    = maxWaiting + maxAhead + maxHeld + 4<<20
	)
	s, _ := start(t, Options{Sink: instantSink{}})
	sub := connectRaw(t, s, mqtt311, "sub", "", 0)
	sub.subscribe("#", 0)
	pub := connectRaw(t, s, mqtt311, "pub", "", 0)
	flood := bytes.Repeat(publishPacket(mqtt311, "flood", make([]byte, payload), 1, 1, false, false), window)
	flooded := make(chan struct{})
	go func() {
		defer close(flooded)
		for {
			if _, err := pub.Write(flood); err != nil {
				return // the test has ended
			}
		}
	}()
	clients := make([]*rawClient, others)
	for i := range clients {
		clients[i] = connectRaw(t, s, mqtt311, fmt.Sprint("other-", i), "", 0)
	}
	publish := func() {
		for _, c := range clients {
			for id := range uint16(window) {
				c.send(publishPacket(mqtt311, "t", make([]byte, payload), 1, id+1, false, false))
			}
		}
		for _, c := range clients {
			for id := range uint16(window) {
				c.expect(ackPacket(4, id+1))
			}
		}
	}
	publish() // it has grown to what it needs by now
	before := heapInUse()
	for range rounds {
		publish()
	}
	grown := heapInUse() - before
	for range 20 { // the flood goes on: what it leaves behind while we look is not held
		if grown <= most {
			break
		}
		grown = heapInUse() - before
	}
	if grown > most {
		t.Errorf("%d bytes of memory were added, at most %d may wait", grown, most)
	}
	if n := s.Stats().Clients; n != others+2 {
		t.Errorf("%d clients are connected", n)
	}
	if s.Stats().Dropped == 0 {
		t.Error("the subscriber is not behind: this test shows nothing")
	}
	pub.Close()
	<-flooded
}

// heapInUse is what is in use, in bytes.
func heapInUse() int64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}
