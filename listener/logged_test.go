package listener

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"
)

func TestLogged(t *testing.T) {
	var l logged
	start := time.Now()
	for i, c := range []struct {
		what  string
		after time.Duration
		first bool
	}{
		{"a", 0, true}, {"a", time.Second, false}, {"b", time.Second, true},
		{"a", quiet - 1, false}, {"a", quiet, true}, {"a", quiet + time.Second, false},
	} {
		if l.first(c.what, start.Add(c.after)) != c.first {
			t.Errorf("%d: %q after %v: want %v", i, c.what, c.after, c.first)
		}
	}
	for i := range 3 * maxLogged {
		l.first(fmt.Sprint(i), start)
	}
	if len(l.at) > maxLogged {
		t.Errorf("%d are remembered", len(l.at))
	}
}

// Clients that come again and again while nothing can be stored, that are not
// MQTT, or that break the rules, get a line each minute and not one each time.
func TestAgainAndAgain(t *testing.T) {
	const times = 20
	sink := &testSink{err: errors.New("the disk is full")}
	s, log := start(t, Options{Sink: sink})
	for i := range times {
		c := connectRaw(t, s, mqtt311, fmt.Sprint("sensor-", i), "", 0)
		c.send(publishPacket(mqtt311, "a", nil, 1, 1, false, false))
		c.expectClosed()

		c = dialRaw(t, s)
		c.send([]byte("GET / HTTP/1.1\r\n"))
		c.expectClosed()

		c = connectRaw(t, s, mqtt311, "stubborn", "", 0)
		c.send([]byte{0, 0})
		c.expectClosed()
	}
	if err := s.Close(t.Context()); err != nil { // all is logged by then
		t.Fatal(err)
	}
	log.mu.Lock()
	all := log.text.String()
	log.mu.Unlock()
	count := func(text string) (n int) {
		for line := range strings.Lines(all) {
			if strings.Contains(line, text) && !strings.Contains(line, "level=DEBUG") {
				n++
			}
		}
		return n
	}
	if n := count("the disk is full"); n != 1 {
		t.Errorf("%d lines about %d clients whose message could not be stored", n, times)
	}
	if n := count("a connection was refused"); n != 1 {
		t.Errorf("%d lines about %d connections that were no MQTT", n, times)
	}
	if n := count("client=stubborn"); n != 1 {
		t.Errorf("%d lines about a client that was disconnected %d times", n, times)
	}
}
