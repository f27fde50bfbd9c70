package listener

import (
	"context"
	"testing"
	"time"

	"github.com/mqttdb/mqttdb/persistence/memory"
	"github.com/mqttdb/mqttdb/runtime"
)

// hasty takes the client away as soon as its session was opened.
type hasty struct {
	*runtime.Runtime
	opened func()
}

func (h *hasty) OpenSession(ctx context.Context, o runtime.SessionOptions) (*runtime.Session, error) {
	s, err := h.Runtime.OpenSession(ctx, o)
	h.opened()
	return s, err
}

// A session that was opened for a client which is gone before it is let in is given
// back: nothing is on its way to it, and it can expire.
func TestGoneBeforeItIsLetIn(t *testing.T) {
	h := openHouse(t, memory.New(memory.Options{}), nil)
	doorman := &hasty{h.rt, func() {}}
	h.server.options.Sessions = doorman
	users := sensorAndReader(t)
	if err := h.server.SetUsers(users); err != nil {
		t.Fatal(err)
	}
	user, password := "reader", "other"
	kept := loginPacket(mqtt311, "c", &user, &password, "")
	kept[9] &^= 2 // no clean session
	c := dialRaw(t, h.server)
	c.send(kept)
	c.expect([]byte{0x20, 2, 0, 0})
	c.subscribe("sensors/#", 1)
	c.subscribe("rooms/+", 1)
	h.hangUp(c)
	users[1].Subscribe = []string{"sensors/#"}
	if err := h.server.SetUsers(users); err != nil {
		t.Fatal(err)
	}
	doorman.opened = func() {
		h.server.mu.Lock()
		s := h.server.sessions["reader\x00c"]
		h.server.mu.Unlock()
		s.end(ending{err: errGoodbye})
	}
	c = dialRaw(t, h.server)
	c.send(kept)
	until(t, h.server, "the end of it", func(s Stats) bool { return s.Connected == 2 && s.Clients == 0 && s.Subscriptions == 0 })
	for end := time.Now().Add(10 * time.Second); ; {
		h.publish("sensors/1", "v", 1, false)
		if all := h.rt.Status(); all[len(all)-1].Outgoing.InFlight == 0 {
			break
		} else if time.Now().After(end) {
			t.Fatal("messages are on their way to nobody")
		}
	}
}

// Who comes third waits for the first, although the second has given up.
func TestTheThirdWaitsForTheFirst(t *testing.T) {
	h := openHouse(t, memory.New(memory.Options{}), nil)
	session := func(id string) *session {
		conn := dialRaw(t, h.server)
		return newSession(h.server, conn.Conn, newPacketReader(conn.Conn, 1), connect{version: mqtt311, clientID: id, kept: true}, nil)
	}
	first, second := session("c"), session("c")
	over := make(chan struct{})
	go func() {
		second.turnAway(errTakenOver, first)
		close(over)
	}()
	select {
	case <-second.left:
		t.Error("the second has left before the first")
	case <-second.stopped:
	}
	close(first.left)
	<-second.left
	select {
	case <-over:
		t.Error("the second has ended before the first")
	case <-second.settled:
	}
	close(first.ended)
	<-over
}
