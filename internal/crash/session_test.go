//go:build unix

package crash

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"testing"
	"time"
)

const (
	pubrecType  = 0x50
	pubrelType  = 0x62
	pubcompType = 0x70
	qos2Flag    = 0x04
)

func ackPacket(first byte, id uint16) []byte { return []byte{first, 2, byte(id >> 8), byte(id)} }

// member is a local client with a persistent session. What it knows of QoS 2
// survives its connections, as MQTT demands.
type member struct {
	t        testing.TB
	id       string
	received map[uint16]bool // QoS 2 ids without PUBREL
	got      [3][]uint64     // numbers of the messages, by QoS
	last     uint64          // of QoS 1, the highest
	again    int             // QoS 1 messages that came again
	acks     []byte
}

func newMember(t testing.TB, id string) *member {
	return &member{t: t, id: id, received: map[uint16]bool{}}
}

// attend connects and takes messages until there are total, or enough says so.
// An error is the end of the connection. It drops the connection at the end.
func (m *member) attend(addr string, present bool, enough func() bool) error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	c, was, err := connect(ctx, addr, m.id, false)
	if err != nil {
		return err
	}
	defer c.Close()
	if was != present {
		m.t.Fatalf("session present is %v", was)
	}
	c.SetDeadline(time.Now().Add(patience))
	if !present {
		if _, err := c.ask(packet(0x82, []byte{0, 1}, text("s/#"), []byte{2}), subackType); err != nil {
			return err
		}
	}
	for !enough() {
		if c.r.Buffered() == 0 && len(m.acks) > 0 {
			if _, err := c.Write(m.acks); err != nil {
				return err
			}
			m.acks = m.acks[:0]
		}
		first, body, err := c.read()
		if err != nil {
			m.acks = m.acks[:0]
			return err
		}
		m.take(first, body)
	}
	_, err = c.Write(m.acks)
	m.acks = m.acks[:0]
	return err
}

func (m *member) take(first byte, body []byte) {
	m.t.Helper()
	if first == pubrelType {
		id := binary.BigEndian.Uint16(body)
		delete(m.received, id)
		m.acks = append(m.acks, ackPacket(pubcompType, id)...)
		return
	}
	p, err := parsePublish(first, body)
	if err != nil || first&0xf0 != publishType {
		m.t.Fatalf("packet %#x %x: %v", first, body, err)
	}
	n, err := strconv.ParseUint(string(bytes.TrimRight(p.payload, ".")), 10, 64)
	if err != nil {
		m.t.Fatal(err)
	}
	if first&qos1Flag != 0 {
		m.acks = append(m.acks, ackPacket(pubackType, p.id)...)
		if n <= m.last {
			m.again++
			return
		}
		m.last = n
		m.got[1] = append(m.got[1], n)
		return
	}
	m.acks = append(m.acks, ackPacket(pubrecType, p.id)...)
	if m.received[p.id] {
		if first&dupFlag == 0 {
			m.t.Errorf("packet id %d is used for a new message before its PUBREL", p.id)
		}
		return
	}
	m.received[p.id] = true
	m.got[2] = append(m.got[2], n)
}

func (m *member) count() int { return len(m.got[1]) + len(m.got[2]) }

// feeder publishes numbers, the odd ones at QoS 1 and the even ones at QoS 2.
type feeder struct {
	t    testing.TB
	next uint64
}

// feed publishes n messages and returns when all are acknowledged.
func (f *feeder) feed(g *gateway, n int) {
	f.t.Helper()
	c := greeted(f.t, g, "feeder")
	defer c.Close()
	const batch = 100
	for n > 0 {
		open := 0
		for i := range min(batch, n) {
			f.next++
			id := uint16(i + 1)
			payload := []byte(strconv.FormatUint(f.next, 10) + ".................................................")
			p := packet(publishType|qos1Flag, text("s/1"), []byte{byte(id >> 8), byte(id)}, payload)
			if open++; f.next%2 == 0 {
				p = packet(publishType|qos2Flag, text("s/2"), []byte{byte(id >> 8), byte(id)}, payload)
			}
			c.w.Write(p)
		}
		n -= open
		for open > 0 {
			if c.r.Buffered() == 0 {
				c.w.Flush()
			}
			first, body, err := c.read()
			if err != nil {
				f.t.Fatalf("%v\n%s", err, g.log())
			}
			switch id := binary.BigEndian.Uint16(body); first {
			case pubackType, pubcompType:
				open--
			case pubrecType:
				c.w.Write(ackPacket(pubrelType, id))
			}
		}
	}
}

// memory is what the process takes, in MiB.
func (g *gateway) memory() int {
	g.t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", g.running.cmd.Process.Pid))
	if err != nil {
		g.t.Fatal(err)
	}
	for line := range bytes.Lines(b) {
		if rest, ok := bytes.CutPrefix(line, []byte("VmRSS:")); ok {
			kib, err := strconv.Atoi(string(bytes.Fields(rest)[0]))
			if err != nil {
				g.t.Fatal(err)
			}
			return kib >> 10
		}
	}
	g.t.Fatal("no VmRSS")
	return 0
}

// S5.4: a session that was away gets 100,000 messages, whatever happens to the
// gateway and to its connections meanwhile: at QoS 1 all, in order, and at most a
// window of them again for each fault; at QoS 2 each exactly once, in order. The
// memory of the gateway does not grow with them.
func TestPersistentSession(t *testing.T) {
	const messages, faults, window = 100_000, 12, 100
	const atRest = 8 // MiB that it may take more with all of them than with few
	random := choices(t)
	g := gatewayOn(t, write(t, t.TempDir(), "mqttdb.yaml",
		"data_dir: data\nmqtt: {listen: \"127.0.0.1:0\"}\nhttp: {listen: \"127.0.0.1:0\"}\nconnections: {cloud: {broker: \"mqtt://127.0.0.1:1\", forward: []}}\n"))
	g.start()
	m := newMember(t, "member")
	if err := m.attend(g.running.mqtt, false, func() bool { return true }); err != nil {
		t.Fatal(err)
	}
	feeder := &feeder{t: t}
	feeder.feed(g, messages/100)
	small := g.memory()
	for range 3 {
		feeder.feed(g, messages/4)
		g.kill()
		g.start()
	}
	feeder.feed(g, messages-int(feeder.next))
	t.Logf("%d MiB with %d messages waiting; when %d had come %d MiB", small, messages/100, messages, g.memory())
	poll(t, 100*time.Millisecond, "the memory of a load to be given back", func() bool { return g.memory() <= small+atRest })
	drainMember(t, g, m, random, messages, faults)
	for qos, first := range map[int]uint64{1: 1, 2: 2} {
		if len(m.got[qos]) != messages/2 {
			t.Errorf("QoS %d: %d messages, want %d", qos, len(m.got[qos]), messages/2)
		}
		for i, n := range m.got[qos] {
			if want := first + 2*uint64(i); n != want {
				t.Fatalf("QoS %d: number %d came as %d", qos, want, n)
			}
		}
	}
	t.Logf("%d came again, with %d faults", m.again, faults)
	if m.again > window*faults {
		t.Errorf("%d came again, with %d faults", m.again, faults)
	}
	await(t, &g.changed, "nothing to be left", func() bool {
		all, err := g.running.statuses()
		if err != nil {
			t.Fatal(err)
		}
		g.changed.tell()
		local := all[len(all)-1]
		return local.Name == "_local" && local.Outgoing.Pending == 0
	})
}

// drainMember takes all messages, with faults of both kinds in between.
func drainMember(t *testing.T, g *gateway, m *member, random *rand.Rand, messages, faults int) {
	t.Helper()
	for fault := range faults {
		until := m.count() + random.IntN(2*(messages-m.count())/(faults-fault+1)+1)
		if err := m.attend(g.running.mqtt, true, func() bool { return m.count() >= until }); err != nil {
			t.Fatalf("%v\n%s", err, g.log())
		}
		if fault%2 == 0 {
			g.kill()
			g.start()
		}
	}
	if err := m.attend(g.running.mqtt, true, func() bool { return m.count() >= messages && len(m.received) == 0 }); err != nil {
		t.Fatalf("after %d messages: %v\n%s", m.count(), err, g.log())
	}
}
