package listener

import (
	"encoding/binary"
	"fmt"
	"testing"

	"github.com/mqttdb/mqttdb/persistence/memory"
	"github.com/mqttdb/mqttdb/types"
)

// No old value comes after a newer one to a client that subscribes while several
// values are on their way, whether they were for a persistent session when they
// came or not.
func TestNoOldValueAmongManyOnTheirWay(t *testing.T) {
	const most = 3000
	for range 10 {
		h := openHouse(t, memory.New(memory.Options{}), nil)
		h.publish("v", "0", 1, true)
		published := make(chan struct{})
		go func() {
			defer close(published)
			window := make(chan struct{}, 8)
			for i := range most {
				window <- struct{}{}
				m := types.Message{Topic: "v", Payload: fmt.Append(nil, i+1), QoS: 1, Retain: true}
				if !h.rt.Route(m, types.Origin{}, func(error) { <-window }, func() {}) {
					t.Error("no room")
				}
			}
		}()
		for last := 0; last < most; {
			last = 0
			c := h.connectKept("c", false)
			c.send(subscribePacket(mqtt311, 9, "v", 1))
			for got := 0; got < 20 && last < most; got++ {
				first, body := c.read()
				if first == 0x90 { // it may come between them [MQTT-3.8.4]
					continue
				}
				var n int
				fmt.Sscan(string(body[5:]), &n)
				if n < last {
					t.Fatalf("%d came after %d", n, last)
				}
				last = n
				c.send(ackPacket(pubackKind, binary.BigEndian.Uint16(body[3:])))
			}
			h.hangUp(c)
			if err := h.rt.EndSession(t.Context(), "c"); err != nil {
				t.Fatal(err)
			}
		}
		<-published
		h.end()
	}
}
