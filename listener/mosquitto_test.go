package listener

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/mqttdb/mqttdb/types"
)

// mosquitto runs one of mosquitto's clients to its end.
func mosquitto(t *testing.T, s *Server, name string, args ...string) {
	t.Helper()
	args = append([]string{"-h", "127.0.0.1", "-p", port(s)}, args...)
	if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
}

// mosquittoSub starts a subscriber that ends after n messages, waits until it
// has subscribed, and returns what waits for its end and gives its output.
func mosquittoSub(t *testing.T, s *Server, n int, args ...string) func() []byte {
	t.Helper()
	before := s.topics.count.Load()
	args = append([]string{"-h", "127.0.0.1", "-p", port(s), "-C", fmt.Sprint(n), "-W", "20"}, args...)
	c := exec.Command("mosquitto_sub", args...)
	var out bytes.Buffer
	c.Stdout, c.Stderr = &out, &out
	if err := c.Start(); err != nil {
		t.Fatalf("%v (apt-get install mosquitto-clients)", err)
	}
	t.Cleanup(func() { c.Process.Kill() })
	until(t, s, "subscribed", func(Stats) bool { return s.topics.count.Load() > before })
	return func() []byte {
		t.Helper()
		if err := c.Wait(); err != nil {
			t.Fatalf("mosquitto_sub: %v\n%s", err, out.Bytes())
		}
		return out.Bytes()
	}
}

// Payloads and topics arrive as they were sent, at every QoS and in every
// version, at the Sink and at a subscriber.
func TestMosquittoRoundTrip(t *testing.T) {
	every := make([]byte, 256)
	for i := range every {
		every[i] = byte(i)
	}
	payloads := map[string][]byte{
		"all bytes": every,
		"empty":     {},
		"1 MiB":     bytes.Repeat(every, 4096),
	}
	for _, version := range []string{"mqttv31", "mqttv311", "mqttv5"} {
		for qos := types.QoS(0); qos <= 2; qos++ {
			for name, payload := range payloads {
				t.Run(fmt.Sprintf("%s/QoS %d/%s", version, qos, name), func(t *testing.T) {
					sink := &testSink{}
					s, _ := start(t, Options{Sink: sink})
					file := filepath.Join(t.TempDir(), "payload")
					if err := os.WriteFile(file, payload, 0o600); err != nil {
						t.Fatal(err)
					}
					topic := "Größe/温度/🌡"
					sub := mosquittoSub(t, s, 1, "-V", version, "-i", "sub", "-t", "Größe/+/#", "-q", fmt.Sprint(qos), "-N")
					mosquitto(t, s, "mosquitto_pub", "-V", version, "-i", "pub", "-t", topic, "-q", fmt.Sprint(qos), "-f", file)
					m := sink.count(t, 1)[0].message
					if m.Topic != topic || !bytes.Equal(m.Payload, payload) || m.QoS != qos || m.Retain {
						t.Errorf("the Sink got topic %q, %d bytes, QoS %d", m.Topic, len(m.Payload), m.QoS)
					}
					if got := sub(); !bytes.Equal(got, payload) {
						t.Errorf("the subscriber got %d bytes that are not the %d that were sent", len(got), len(payload))
					}
				})
			}
		}
	}
}

// Many messages of one publisher keep their order at each QoS.
func TestMosquittoOrder(t *testing.T) {
	const n = 500
	for qos := range 3 {
		t.Run(fmt.Sprintf("QoS %d", qos), func(t *testing.T) {
			sink := &testSink{}
			s, _ := start(t, Options{Sink: sink})
			var want strings.Builder
			for i := range n {
				fmt.Fprintln(&want, i)
			}
			sub := mosquittoSub(t, s, n, "-t", "o", "-q", fmt.Sprint(qos))
			pub := exec.Command("mosquitto_pub", "-h", "127.0.0.1", "-p", port(s), "-t", "o", "-q", fmt.Sprint(qos), "-l")
			pub.Stdin = strings.NewReader(want.String())
			if out, err := pub.CombinedOutput(); err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			if got := string(sub()); got != want.String() {
				t.Errorf("the subscriber got\n%s", got)
			}
			if got := strings.Join(texts(sink.count(t, n)), "\n") + "\n"; got != want.String() {
				t.Errorf("the Sink got\n%s", got)
			}
		})
	}
}

func TestMosquittoRetained(t *testing.T) {
	sink := &testSink{}
	s, _ := start(t, Options{Sink: sink})
	for _, args := range [][]string{{"-t", "r/1", "-m", "old"}, {"-t", "r/1", "-m", "kept"}, {"-t", "r/2", "-m", "x"}, {"-t", "r/2", "-n"}} {
		mosquitto(t, s, "mosquitto_pub", append(args, "-r", "-q", "1")...)
	}
	sub := mosquittoSub(t, s, 2, "-t", "r/#", "-F", "%t %r %p")
	mosquitto(t, s, "mosquitto_pub", "-t", "r/3", "-r", "-q", "1", "-m", "live")
	if got := string(sub()); got != "r/1 1 kept\nr/3 0 live\n" {
		t.Errorf("got %q", got)
	}
	for _, e := range sink.count(t, 5) {
		if !e.message.Retain {
			t.Errorf("%+v", e.message)
		}
	}
}

// A client that is killed leaves its will.
func TestMosquittoWill(t *testing.T) {
	sink := &testSink{}
	s, _ := start(t, Options{Sink: sink})
	c := exec.Command("mosquitto_sub", "-h", "127.0.0.1", "-p", port(s), "-i", "dies", "-t", "x",
		"--will-topic", "will/dies", "--will-payload", "gone", "--will-qos", "2", "--will-retain")
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	until(t, s, "subscribed", func(Stats) bool { return s.topics.count.Load() == 1 })
	sub := mosquittoSub(t, s, 1, "-t", "will/#", "-q", "1", "-F", "%t %q %p")
	c.Process.Kill()
	c.Wait()
	if got := string(sub()); got != "will/dies 1 gone\n" {
		t.Errorf("got %q", got)
	}
	if m := sink.count(t, 1)[0].message; m.QoS != 2 || !m.Retain || string(m.Payload) != "gone" {
		t.Errorf("the Sink got %+v", m)
	}
}

// A publisher whose message is too large goes on; with MQTT 5 it is told.
func TestMosquittoTooLarge(t *testing.T) {
	sink := &testSink{}
	s, _ := start(t, Options{Sink: sink, MaxMessageSize: 100_000})
	file := filepath.Join(t.TempDir(), "payload")
	if err := os.WriteFile(file, make([]byte, 100_001), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, qos := range []string{"0", "1", "2"} {
		mosquitto(t, s, "mosquitto_pub", "-t", "big", "-q", qos, "-f", file)
	}
	until(t, s, "refused", func(st Stats) bool { return st.Refused["too_large"] == 3 })
	out, _ := exec.Command("mosquitto_pub", "-h", "127.0.0.1", "-p", port(s), "-V", "5", "-t", "big", "-q", "1", "-f", file, "-d").CombinedOutput()
	if !bytes.Contains(out, []byte("RC:151")) { // 0x97
		t.Errorf("mosquitto_pub said\n%s", out)
	}
	sink.count(t, 0)
}
