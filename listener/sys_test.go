package listener

import (
	"net"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	mosq "github.com/mqttdb/mqttdb/internal/mosquitto"
)

// What is said in $SYS comes with a subscription to it, and with no other.
func TestSys(t *testing.T) {
	s, _ := start(t, Options{Sink: &testSink{}, Version: "mqttdb 1.2.3"})
	c := connectRaw(t, s, mqtt311, "c", "", 60)
	c.subscribe("#", 0)
	c.subscribe("+/broker/version", 0)
	c.expectSilence()
	c.subscribe("$SYS/broker/version", 1)
	m, _ := c.message()
	if m.Topic != "$SYS/broker/version" || string(m.Payload) != "mqttdb 1.2.3" || !m.Retain {
		t.Errorf("got %+v", m)
	}
	if n := s.Stats().Retained; n != 0 {
		t.Errorf("%d of them count as retained messages", n)
	}
}

// Every 10 s what has changed is published again.
func TestSysChanges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &Server{quit: make(chan struct{}), options: Options{Version: "v"}, sessions: map[string]*session{}, topics: &topics{}}
		ticker := time.NewTicker(sysInterval)
		defer ticker.Stop()
		done := make(chan struct{})
		go func() {
			s.reportSys(ticker.C)
			close(done)
		}()
		value := func(topic string) string {
			s.sys.mu.RLock()
			defer s.sys.mu.RUnlock()
			m := s.sys.kept.Get("$SYS/broker/" + topic)
			if m == nil {
				t.Fatalf("%s is not there", topic)
			}
			return string((*m).Payload)
		}
		synctest.Wait()
		if got := value("uptime"); got != "0 seconds" {
			t.Errorf("uptime %s", got)
		}
		s.stats.received.Add(7)
		time.Sleep(sysInterval)
		synctest.Wait()
		for topic, want := range map[string]string{"uptime": "10 seconds", "publish/messages/received": "7", "clients/connected": "0"} {
			if got := value(topic); got != want {
				t.Errorf("%s is %q, want %q", topic, got, want)
			}
		}
		close(s.quit)
		<-done
	})
}

// The names are those of mosquitto's, so that what shows them for one shows them
// for the other.
func TestSysNames(t *testing.T) {
	s, _ := start(t, Options{Sink: &testSink{}})
	real := mosq.Start(t)
	host, at, _ := net.SplitHostPort(real.Addr())
	out, _ := exec.Command("mosquitto_sub", "-h", host, "-p", at, "-t", "$SYS/#", "-F", "%t", "-W", "1").Output() // it ends with an error when its time is over
	known := strings.Split(string(out), "\n")
	for _, v := range s.sysValues(0) {
		if !slices.Contains(known, "$SYS/broker/"+v.topic) {
			t.Errorf("mosquitto has no %q: %q", v.topic, known)
		}
	}
}

// Of all packets as many are counted as came and went.
func TestPacketsAreCounted(t *testing.T) {
	s, _ := start(t, Options{Sink: &testSink{}})
	c := connectRaw(t, s, mqtt311, "c", "", 60)
	c.subscribe("t", 1)
	c.publish("t", strings.Repeat("x", 300), 1, 1, false)
	for range 2 { // PUBLISH and PUBACK
		if first, body := c.read(); first == 0x32 {
			c.send(ackPacket(pubackKind, uint16(body[3])<<8|uint16(body[4])))
		}
	}
	c.expectSilence()
	until(t, s, "they are counted", func(now Stats) bool { return now.PacketsOut == 5 && now.PacketsIn >= 4 })
	until(t, s, "those that came", func(now Stats) bool { return now.PacketsIn == 5 && now.BytesIn > 300 && now.BytesOut > 300 })
}

// What is reported is there for later subscribers, told once when it changes, and ends.
func TestReport(t *testing.T) {
	s, _ := start(t, Options{Sink: &testSink{}})
	s.Report("$mqttdb/cloud/status", []byte("one"))
	c := connectRaw(t, s, mqtt311, "c", "", 60)
	c.subscribe("#", 0)
	c.expectSilence()
	c.subscribe("$mqttdb/+/status", 0)
	for _, want := range []string{"one", "two", ""} {
		if m, _ := c.message(); m.Topic != "$mqttdb/cloud/status" || string(m.Payload) != want {
			t.Errorf("got %+v, want %s", m, want)
		}
		switch want {
		case "one":
			s.Report("$mqttdb/cloud/status", []byte("one")) // nothing new
			s.Report("$mqttdb/cloud/status", []byte("two"))
		case "two":
			s.Report("$mqttdb/cloud/status", nil)
			s.Report("$mqttdb/cloud/status", nil)
		}
	}
	late := connectRaw(t, s, mqtt311, "late", "", 60)
	late.subscribe("$mqttdb/#", 0)
	late.expectSilence()
	c.expectSilence()
}
