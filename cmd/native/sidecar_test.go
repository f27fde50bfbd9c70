//go:build unix

package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/mqttdb/mqttdb/internal/mosquitto"
	"github.com/mqttdb/mqttdb/internal/peer"
	"github.com/mqttdb/mqttdb/sidecar"
)

// process is a sidecar that runs by itself.
type process struct {
	t       *testing.T
	cmd     *exec.Cmd
	in      io.WriteCloser
	address string

	mu  sync.Mutex
	log bytes.Buffer
}

func (c *process) Write(b []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.log.Write(b)
}

// startSidecar starts this test as a sidecar.
func startSidecar(t *testing.T, first string, args ...string) *process {
	t.Helper()
	c := &process{t: t, cmd: exec.Command(os.Args[0], append([]string{"sidecar"}, args...)...)}
	c.cmd.Env = append(os.Environ(), asGateway+"=1")
	c.cmd.Stderr = c
	var err error
	if c.in, err = c.cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	out, err := c.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if c.cmd.ProcessState == nil {
			c.kill()
		}
		if t.Failed() {
			t.Log(c.said())
		}
	})
	if first != "" {
		if _, err := io.WriteString(c.in, first+"\n"); err != nil {
			t.Fatal(err)
		}
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	var hello struct {
		Protocol int
		Address  string
	}
	if err == nil {
		err = json.Unmarshal([]byte(line), &hello)
	}
	if err != nil || hello.Protocol != sidecar.Version {
		t.Fatalf("it printed %q: %v; %s", line, err, c.said())
	}
	c.address = hello.Address
	return c
}

func (c *process) said() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.log.String()
}

func (c *process) kill() {
	_ = c.cmd.Process.Kill()
	_ = c.cmd.Wait()
}

// leave ends standard input and waits.
func (c *process) leave() {
	c.t.Helper()
	if err := c.in.Close(); err != nil {
		c.t.Fatal(err)
	}
	if err := c.cmd.Wait(); err != nil {
		c.t.Fatalf("it ended with %v: %s", err, c.said())
	}
}

func within(t *testing.T, d time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}

// attach connects a peer, opens broker b there and says again what is not
// acknowledged.
func attach(t *testing.T, p *peer.Peer, c *process, settings map[string]any) {
	t.Helper()
	ctx := within(t, 20*time.Second)
	if err := p.Dial(ctx, c.address); err != nil {
		t.Fatal(err)
	}
	if _, err := p.Ask(ctx, sidecar.OpenType, sidecar.Target{Broker: "b"}, settings); err != nil {
		t.Fatal(err)
	}
	if err := p.Resend(); err != nil {
		t.Fatal(err)
	}
}

// collector is a consumer that acknowledges what it gets, and passes over what it has
// handled before.
type collector struct {
	peer *peer.Peer
	mu   sync.Mutex
	last uint64
	got  []string
	came chan struct{} // holds one when something came
}

func collect(session, dir string) *collector {
	c := &collector{peer: peer.New(session, dir), came: make(chan struct{}, 1)}
	c.peer.Message = func(f sidecar.Frame, h sidecar.MessageHeader) {
		c.mu.Lock()
		if f.Seq > c.last {
			c.last = f.Seq
			c.got = append(c.got, string(f.Payload))
		}
		c.mu.Unlock()
		_ = c.peer.Done(h.Broker, h.Consumer, f.Seq)
		select {
		case c.came <- struct{}{}:
		default:
		}
	}
	return c
}

func (c *collector) list() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.got)
}

func (c *collector) await(t *testing.T, n int) []string {
	t.Helper()
	ctx := within(t, 60*time.Second)
	for {
		if got := c.list(); len(got) >= n {
			return got
		}
		select {
		case <-c.came:
		case <-ctx.Done():
			t.Fatalf("%d of %d came", len(c.list()), n)
		}
	}
}

func numbered(from, n int) (list [][]byte) {
	for i := range n {
		list = append(list, fmt.Appendf(nil, "%d", from+i))
	}
	return list
}

// sending publishes without a pause, until stop is closed; it waits while the sidecar
// is gone.
type sending struct {
	peer    *peer.Peer
	stop    chan struct{}
	lost    chan struct{} // told when the sidecar is gone
	resumed chan struct{}
	total   int
}

// sendingWindow is how many messages are on their way at most.
const sendingWindow = 64

func (s *sending) run(ctx context.Context) error {
	for {
		select {
		case <-s.stop:
			return nil
		default:
		}
		open := 0
		err := s.peer.Await(ctx, func(now peer.State) bool { open = now.Open; return open < sendingWindow })
		if err == nil {
			more := sendingWindow - open
			err = s.peer.Publish(sidecar.MessageHeader{Broker: "b", Topic: "out/x", QoS: 2}, 0, numbered(s.total, more)...)
			s.total += more // it keeps them, whatever became of the sidecar
		}
		if err == nil {
			continue
		}
		select {
		case s.lost <- struct{}{}:
		case <-ctx.Done():
			return ctx.Err()
		}
		select {
		case <-s.resumed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// A client that publishes all the time has its sidecar killed again and again, and so
// has one that receives: each message arrives once and in order at QoS 2, through two
// sidecars and a broker between them.
func TestSidecarKilled(t *testing.T) {
	broker := mosquitto.Start(t, mosquitto.WithConfig("max_queued_messages 0")) // it would drop what waits for the receiver
	dir := t.TempDir()
	url := "mqtt://" + broker.Addr()
	out := map[string]any{"url": url, "client_id": "out"}
	in := map[string]any{"url": url, "client_id": "in", "persist": map[string]bool{"outgoing": false, "incoming": true}}
	const kills = 8

	receiver := collect("receiver-0123456789", filepath.Join(dir, "in"))
	sink := startSidecar(t, "")
	attach(t, receiver.peer, sink, in)
	topics := sidecar.Topics{Topics: []sidecar.Topic{{Topic: "out/#", QoS: 2}}}
	subscribe := func() {
		if _, err := receiver.peer.Ask(within(t, 10*time.Second), sidecar.SubType, sidecar.Target{Broker: "b", Consumer: "n"}, topics); err != nil {
			t.Fatal(err)
		}
	}
	subscribe()
	online := func(b sidecar.BrokerStatus) bool { return b.State == "online" }
	if err := receiver.peer.Broker(within(t, 10*time.Second), "b", online); err != nil {
		t.Fatal(err)
	}

	sender := &sending{peer: peer.New("sender-0123456789ab", filepath.Join(dir, "out")), stop: make(chan struct{}), lost: make(chan struct{}), resumed: make(chan struct{})}
	source := startSidecar(t, "")
	attach(t, sender.peer, source, out)
	ended := make(chan error, 1)
	ctx := within(t, time.Minute)
	go func() { ended <- sender.run(ctx) }()
	for range kills {
		acked := 0 // in this life
		if err := sender.peer.Await(within(t, 30*time.Second), func(peer.State) bool { acked++; return acked > 5+rand.IntN(20) }); err != nil {
			t.Fatal(err)
		}
		source.kill() // while it is at work
		select {
		case <-sender.lost:
		case err := <-ended:
			t.Fatal(err)
		}
		<-sender.peer.Gone()
		sink.kill()
		<-receiver.peer.Gone()
		source = startSidecar(t, "")
		attach(t, sender.peer, source, out)
		sender.resumed <- struct{}{}
		sink = startSidecar(t, "")
		attach(t, receiver.peer, sink, in)
		subscribe()
	}
	close(sender.stop)
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	if err := sender.peer.Acked(within(t, 30*time.Second)); err != nil {
		t.Fatal(err)
	}
	receiver.await(t, sender.total)
	if err := sender.peer.Broker(within(t, 30*time.Second), "b", func(b sidecar.BrokerStatus) bool { return b.Pending == 0 }); err != nil {
		t.Fatal(err)
	}
	got := receiver.list()
	if len(got) != sender.total {
		t.Errorf("%d messages came, %d were published", len(got), sender.total)
	}
	for i, text := range got {
		if text != fmt.Sprint(i) {
			t.Fatalf("%d messages came; number %d is %s: want each once and in order", len(got), i, text)
		}
	}
	source.leave()
	sink.leave()
}

// Credentials get into no log and no status.
func TestSidecarSecrets(t *testing.T) {
	broker := mosquitto.Start(t, mosquitto.WithUser("u", "secret-password"))
	p := peer.New("session-0123456789", t.TempDir())
	p.Hello.Token = "a-token-of-enough-bytes"
	c := startSidecar(t, p.Hello.Token, "--listen", "tcp", "--log", "debug")
	if !strings.HasPrefix(c.address, "tcp:127.0.0.1:") {
		t.Errorf("it listens at %s", c.address)
	}
	for _, password := range []string{"wrong-password", "secret-password"} {
		attach(t, p, c, map[string]any{"url": "mqtt://" + broker.Addr(), "client_id": "x", "username": "u", "password": password})
		right := password == "secret-password"
		if err := p.Broker(within(t, 20*time.Second), "b", func(b sidecar.BrokerStatus) bool {
			return right && b.State == "online" || !right && strings.Contains(b.Error, "not authorized")
		}); err != nil {
			t.Fatal(err)
		}
		err := p.Await(within(t, time.Second), func(s peer.State) bool {
			if text := fmt.Sprintf("%+v", s.Status); strings.Contains(text, "password") && strings.Contains(text, password) {
				t.Errorf("the status says %s", text)
			}
			return true
		})
		if err != nil {
			t.Fatal(err)
		}
		if err := p.Close(); err != nil {
			t.Fatal(err)
		}
	}
	wrong := peer.New("session-9876543210", t.TempDir())
	wrong.Hello.Token = "another-token-of-bytes"
	if err := wrong.Dial(within(t, 5*time.Second), c.address); err == nil || !strings.Contains(err.Error(), "4001") {
		t.Errorf("with a wrong token: %v", err)
	}
	c.leave()
	for _, secret := range []string{"wrong-password", "secret-password", p.Hello.Token, wrong.Hello.Token} {
		if strings.Contains(c.said(), secret) {
			t.Errorf("the log has a secret:\n%s", c.said())
		}
	}
}

// The socket is the user's alone, and is removed in the end.
func TestSidecarSocket(t *testing.T) {
	c := startSidecar(t, "")
	path, ok := strings.CutPrefix(c.address, "unix:")
	if !ok || len(path) > 100 {
		t.Fatalf("it listens at %s", c.address)
	}
	for name, want := range map[string]os.FileMode{path: 0o600, filepath.Dir(path): 0o700} {
		if info, err := os.Stat(name); err != nil || info.Mode().Perm() != want {
			t.Errorf("%s: %v, %v, want %v", name, info.Mode(), err, want)
		}
	}
	c.leave()
	if _, err := os.Stat(filepath.Dir(path)); !os.IsNotExist(err) {
		t.Errorf("its directory is still there: %v", err)
	}
}

// With both boxes off nothing is written. A directory that another process has is
// refused, and taken when that has gone.
func TestSidecarDirectories(t *testing.T) {
	broker := mosquitto.Start(t)
	dir := filepath.Join(t.TempDir(), "data")
	first, second := startSidecar(t, ""), startSidecar(t, "")
	url := "mqtt://" + broker.Addr()
	off := map[string]any{"url": url, "client_id": "off", "persist": map[string]bool{"outgoing": false, "incoming": false}}
	p := peer.New("session-0123456789", dir)
	attach(t, p, first, off)
	if err := p.Publish(sidecar.MessageHeader{Broker: "b", Topic: "t", QoS: 2}, 0, numbered(1, 100)...); err != nil {
		t.Fatal(err)
	}
	if err := p.Broker(within(t, 20*time.Second), "b", func(b sidecar.BrokerStatus) bool { return b.State == "online" && b.Pending == 0 }); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(dir); !os.IsNotExist(err) {
		t.Errorf("something was written: %v", err)
	}

	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := peer.New("session-of-a-file-0", file).Dial(within(t, 10*time.Second), first.address); err == nil || !strings.Contains(err.Error(), "4003") {
		t.Errorf("with a file for a data directory: %v", err)
	}

	on := map[string]any{"url": url, "client_id": "on"}
	open := func(p *peer.Peer) error {
		_, err := p.Ask(within(t, 20*time.Second), sidecar.OpenType, sidecar.Target{Broker: "b"}, on)
		return err
	}
	if err := open(p); err != nil {
		t.Fatal(err)
	}
	other := peer.New("session-9876543210", dir)
	if err := other.Dial(within(t, 10*time.Second), second.address); err != nil {
		t.Fatal(err)
	}
	if err := open(other); err == nil || !strings.HasPrefix(err.Error(), "in-use: ") {
		t.Errorf("with a directory that another process has: %v", err)
	}
	answer := make(chan error, 1)
	go func() { answer <- open(other) }()
	first.leave()
	if err := <-answer; err != nil {
		t.Errorf("when the other process has gone: %v", err)
	}
	second.leave()
	if info, err := os.Stat(filepath.Join(dir, "b")); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("its directory: %v, %v", info, err)
	}
}
