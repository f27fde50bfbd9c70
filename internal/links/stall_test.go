//go:build unix

package links_test

import (
	"bufio"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/mqttdb/mqttdb"
	"github.com/mqttdb/mqttdb/config"
	"github.com/mqttdb/mqttdb/internal/mosquitto"
)

// mute is a broker that takes links and answers pings, and acknowledges nothing.
func mute(t *testing.T) (addr string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go serveMute(conn)
		}
	}()
	return l.Addr().String()
}

func serveMute(conn net.Conn) {
	defer conn.Close()
	in := bufio.NewReader(conn)
	for {
		first, err := in.ReadByte()
		if err != nil {
			return
		}
		length, shift := 0, 0
		for more := true; more; shift += 7 { // [MQTT-2.2.3]
			b, err := in.ReadByte()
			if err != nil {
				return
			}
			length, more = length|int(b&0x7f)<<shift, b&0x80 != 0
		}
		if _, err := io.CopyN(io.Discard, in, int64(length)); err != nil {
			return
		}
		switch first >> 4 {
		case 1:
			conn.Write([]byte{0x20, 2, 0, 0})
		case 12:
			conn.Write([]byte{0xd0, 0})
		case 14:
			return
		}
	}
}

// A broker that is there and acknowledges nothing is said to be stalled, and
// dialed again; of several, another one is asked.
func TestStalledBroker(t *testing.T) {
	c := mqttdb.ConnectionConfig{Broker: "mqtt://" + mute(t), StallTimeout: time.Second}
	t.Run("alone", func(t *testing.T) {
		db := open(t, t.TempDir(), c)
		publish(t, db, "1")
		s := await(t, db, "the stall", is("stalled"))
		if !strings.Contains(s.LastError, "nothing was acknowledged for 1s") || s.Hint == "" || s.NextAttempt == nil {
			t.Errorf("%+v", s)
		}
		await(t, db, "another link", is("online"))
		await(t, db, "another stall", is("stalled"))
	})
	t.Run("one of two", func(t *testing.T) {
		b := mosquitto.Start(t)
		s := subscribe(t, b.Addr(), "t")
		listed := c
		listed.Failover = []string{"mqtt://" + b.Addr()}
		db := open(t, t.TempDir(), listed)
		publish(t, db, "1", "2")
		drain(t, db)
		s.gets(t, []string{"1", "2"})
		closeDB(t, db)
	})
}

// Two gateways with one client id take the session from each other for ever, and
// both say that this may be so.
func TestClientIDFight(t *testing.T) {
	b := mosquitto.Start(t)
	c := mqttdb.ConnectionConfig{Broker: "mqtt://" + b.Addr(), ClientID: "gw"}
	began := time.Now()
	one, other := open(t, t.TempDir(), c), open(t, t.TempDir(), c)
	for _, db := range []*mqttdb.DB{one, other} {
		await(t, db, "the hint", func(s mqttdb.Status) bool {
			return strings.Contains(s.Hint, "another client may be using the same client id, gw")
		})
	}
	t.Logf("both knew after %v", time.Since(began).Round(time.Millisecond))
	closeDB(t, other)
	await(t, one, "a link", is("online"))
}

// What the broker is told of the gateway: its birth with each link, its end, and
// the will when it could not say goodbye.
func TestWillBirthAndClose(t *testing.T) {
	b := mosquitto.Start(t)
	n := newNetwork(t, b.Addr())
	s := subscribe(t, b.Addr(), "gw/state")
	dir := t.TempDir()
	c := mqttdb.ConnectionConfig{
		Broker: "mqtt://" + n.addr(),
		Will:   &config.Message{Topic: "gw/state", Payload: "lost", QoS: 1, Retain: true},
		Birth:  &config.Message{Topic: "gw/state", Payload: "online", QoS: 1, Retain: true},
		Close:  &config.Message{Topic: "gw/state", Payload: "stopped", QoS: 1, Retain: true},
	}
	db := open(t, dir, c)
	s.gets(t, []string{"online"})
	n.cut()
	s.gets(t, []string{"online", "lost"})
	n.restore()
	s.gets(t, []string{"online", "lost", "online"})
	if err := db.Connection("cloud").Pause(); err != nil {
		t.Fatal(err)
	}
	await(t, db, "the pause", is("paused"))
	s.gets(t, []string{"online", "lost", "online", "stopped"})
	if err := db.Connection("cloud").Resume(); err != nil {
		t.Fatal(err)
	}
	s.gets(t, []string{"online", "lost", "online", "stopped", "online"})
	closeDB(t, db)
	s.gets(t, []string{"online", "lost", "online", "stopped", "online", "stopped"})
	subscribe(t, b.Addr(), "gw/#").gets(t, []string{"stopped"}) // retained
	if q := db.Connection("cloud").Status().Outgoing; q.Accepted != 0 {
		t.Errorf("they are in the books: %+v", q)
	}
}
