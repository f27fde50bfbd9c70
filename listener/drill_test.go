package listener

import (
	"context"
	"encoding/binary"
	"fmt"
	"testing"
	"time"

	"github.com/mqttdb/mqttdb/persistence/memory"
	"github.com/mqttdb/mqttdb/types"
)

// collector is a client with a session that comes back whenever it is turned out.
type collector struct {
	h     *house
	known map[uint16]int
	got   chan int
}

func (c *collector) run(ctx context.Context) {
	for ctx.Err() == nil {
		conn := dialRaw(c.h.t, c.h.server)
		stop := context.AfterFunc(ctx, func() { conn.Close() })
		conn.Write(keptPacket(mqtt311, "collector", 0))
		c.attend(conn)
		stop()
		conn.Close()
	}
}

func (c *collector) attend(conn *rawClient) {
	first, body, err := conn.tryRead()
	if err != nil || first != 0x20 || body[1] != 0 {
		return
	}
	if body[0] == 0 {
		conn.Write(subscribePacket(mqtt311, 9, "t", 2))
	}
	for {
		first, body, err := conn.tryRead()
		switch {
		case err != nil:
			return
		case first == 0x62:
			id := binary.BigEndian.Uint16(body)
			delete(c.known, id)
			conn.Write(ackPacket(pubcompKind, id))
		case first == 0x90:
			c.got <- -1
		default:
			id := binary.BigEndian.Uint16(body[3:])
			var n int
			fmt.Sscan(string(body[5:]), &n)
			if was, known := c.known[id]; !known {
				c.known[id] = n
				c.got <- n
			} else if was != n {
				c.h.t.Errorf("packet id %d is used for %d while it stands for %d", id, n, was)
			}
			conn.Write(ackPacket(pubrecKind, id))
		}
	}
}

// A drill: the actors fail again and again, by a bug as it were, and a session
// loses, doubles and reorders nothing.
func TestSessionsOutliveTheirActors(t *testing.T) {
	h := openHouse(t, memory.New(memory.Options{}), nil)
	ctx, cancel := context.WithCancel(t.Context())
	c := &collector{h: h, known: map[uint16]int{}, got: make(chan int, 10_000)}
	over := make(chan struct{})
	go func() {
		defer close(over)
		c.run(ctx)
	}()
	defer func() {
		cancel()
		<-over
	}()
	if n := <-c.got; n != -1 {
		t.Fatalf("first came %d", n)
	}
	stored := map[int]bool{} // false: not known
	const rounds, each = 8, 60
	for round := range rounds {
		for i := range each {
			n := round*each + i
			if i == each/2 {
				if err := h.rt.Kill([]string{"mqttdb/_local/outgoing", "mqttdb/_local/sessions"}[round%2]); err != nil {
					t.Fatal(err)
				}
			}
			done := make(chan error, 1)
			m := types.Message{Topic: "t", Payload: fmt.Append(nil, n), QoS: 2}
			if !h.rt.Route(m, types.Origin{}, func(err error) { done <- err }, func() {}) {
				t.Fatal("no room")
			}
			stored[n] = <-done == nil
		}
	}
	last := -1
	for n := range rounds * each {
		if !stored[n] {
			continue
		}
		for last < n {
			select {
			case got := <-c.got:
				if got <= last {
					t.Fatalf("%d came after %d", got, last)
				}
				if got > n {
					t.Fatalf("%d came, and %d did not", got, n)
				}
				last = got
			case <-time.After(10 * time.Second):
				t.Fatalf("%d did not come; the last one was %d", n, last)
			}
		}
	}
	h.pending(0)
}
