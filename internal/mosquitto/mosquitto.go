//go:build unix

// Package mosquitto runs a mosquitto of its own for a test: on 127.0.0.1, with
// a configuration in a temporary folder, and stopped when the test ends.
package mosquitto

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// Broker is a running mosquitto. Its methods belong to the test's goroutine.
type Broker struct {
	t      testing.TB
	path   string
	config string // file
	addr   string
	ws     string
	second string

	process *exec.Cmd
	exited  chan struct{}
	log     *journal
}

// Option changes how mosquitto is configured.
type Option func(*settings)

type settings struct {
	lines     []string
	websocket bool
	second    bool
	users     map[string]string
}

// WithConfig adds lines to the end of the configuration, as in
// mosquitto.conf(5): those that belong to a listener are about the last one.
func WithConfig(lines ...string) Option {
	return func(s *settings) { s.lines = append(s.lines, lines...) }
}

// WithWebSocket adds a listener for WebSockets.
func WithWebSocket() Option { return func(s *settings) { s.websocket = true } }

// WithListener adds a second listener for MQTT; lines of WithConfig that belong to
// a listener (certfile, …) are about it.
func WithListener() Option { return func(s *settings) { s.second = true } }

// WithUser refuses everybody but this user and those of other WithUser.
func WithUser(name, password string) Option {
	return func(s *settings) { s.users[name] = password }
}

// Start starts a mosquitto and waits until it accepts connections. The test
// fails at once if there is none.
func Start(t testing.TB, options ...Option) *Broker {
	t.Helper()
	b := &Broker{t: t, path: binary(t, "mosquitto")}
	s := settings{users: make(map[string]string)}
	for _, o := range options {
		o(&s)
	}
	t.Cleanup(b.Kill)
	// Another process may take a port between our choice and mosquitto's.
	for attempt := 1; ; attempt++ {
		b.configure(s)
		err := b.start()
		if err == nil {
			return b
		}
		if attempt == 5 {
			t.Fatal(err)
		}
	}
}

// binary finds a program of mosquitto's also where only root has it in PATH.
func binary(t testing.TB, name string) string {
	t.Helper()
	for _, place := range []string{name, "/usr/sbin/" + name, "/usr/local/sbin/" + name, "/usr/bin/" + name, "/opt/homebrew/sbin/" + name} {
		if path, err := exec.LookPath(place); err == nil {
			return path
		}
	}
	t.Fatalf("%s is not there: install mosquitto: apt-get install mosquitto (make test does it)", name)
	return ""
}

func (b *Broker) configure(s settings) {
	b.t.Helper()
	dir := b.t.TempDir()
	b.addr = freeAddr(b.t)
	lines := []string{
		"log_dest stderr",
		"log_type error", "log_type warning", "log_type notice", "log_type information",
		"listener " + port(b.addr) + " 127.0.0.1",
	}
	if s.websocket {
		b.ws = freeAddr(b.t)
		lines = append(lines, "listener "+port(b.ws)+" 127.0.0.1", "protocol websockets")
	}
	if s.second {
		b.second = freeAddr(b.t)
		lines = append(lines, "listener "+port(b.second)+" 127.0.0.1")
	}
	if os.Getuid() == 0 {
		lines = append([]string{"user root"}, lines...) // else it becomes a user who may not read the folder
	}
	if len(s.users) == 0 {
		lines = append(lines, "allow_anonymous true")
	} else {
		lines = append(lines, "allow_anonymous false", "password_file "+b.passwords(dir, s.users))
	}
	lines = append(lines, s.lines...)
	b.config = filepath.Join(dir, "mosquitto.conf")
	b.write(b.config, strings.Join(lines, "\n")+"\n")
}

func (b *Broker) passwords(dir string, users map[string]string) string {
	b.t.Helper()
	file := filepath.Join(dir, "passwords")
	b.write(file, "")
	for name, password := range users {
		cmd := exec.Command(binary(b.t, "mosquitto_passwd"), "-b", file, name, password)
		if out, err := cmd.CombinedOutput(); err != nil {
			b.t.Fatalf("mosquitto_passwd: %v: %s", err, out)
		}
	}
	return file
}

func (b *Broker) write(file, text string) {
	b.t.Helper()
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		b.t.Fatal(err)
	}
}

// start runs the process and waits until it says that it runs.
func (b *Broker) start() error {
	b.process = exec.Command(b.path, "-c", b.config)
	b.process.SysProcAttr = orphanless()
	stderr, err := b.process.StderrPipe()
	if err != nil {
		return err
	}
	if err := b.process.Start(); err != nil {
		return fmt.Errorf("start %s: %w", b.path, err)
	}
	process, exited, log := b.process, make(chan struct{}), &journal{}
	b.exited, b.log = exited, log
	running := make(chan struct{})
	go func() {
		defer close(exited)
		lines := bufio.NewScanner(stderr)
		for up := false; lines.Scan(); {
			log.add(lines.Bytes())
			if !up && strings.HasSuffix(lines.Text(), " running") {
				up = true
				close(running)
			}
		}
		process.Wait()
	}()
	select {
	case <-running:
		return b.answers()
	case <-exited:
		return fmt.Errorf("mosquitto did not start: %s", log)
	case <-time.After(20 * time.Second):
		b.Kill()
		return fmt.Errorf("mosquitto does not say that it runs: %s", log)
	}
}

// answers returns when mosquitto has answered somebody: only then its main loop
// runs, and a SIGTERM is not forgotten. What it answers does not matter, it may
// want a password or TLS.
func (b *Broker) answers() error {
	conn, err := net.Dial("tcp", b.addr)
	if err != nil {
		return fmt.Errorf("mosquitto says that it runs: %w", err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(20 * time.Second))
	const connect, disconnect = "\x10\x11\x00\x04MQTT\x04\x02\x00\x00\x00\x05ready", "\xe0\x00"
	conn.Write([]byte(connect))
	if _, err := conn.Read(make([]byte, 4)); errors.Is(err, os.ErrDeadlineExceeded) {
		return fmt.Errorf("mosquitto says that it runs, but does not answer: %s", b.log)
	}
	conn.Write([]byte(disconnect))
	return nil
}

// Addr is host:port of the MQTT listener.
func (b *Broker) Addr() string { return b.addr }

// WebSocketAddr is host:port of the WebSocket listener.
func (b *Broker) WebSocketAddr() string { return b.ws }

// SecondAddr is host:port of the listener of WithListener.
func (b *Broker) SecondAddr() string { return b.second }

// Log is what mosquitto has logged since it was started last.
func (b *Broker) Log() string { return b.log.String() }

// Stop ends mosquitto in good order; it keeps what its configuration says.
func (b *Broker) Stop() { b.end(syscall.SIGTERM) }

// Kill ends mosquitto at once; it forgets what it did not save.
func (b *Broker) Kill() { b.end(syscall.SIGKILL) }

func (b *Broker) end(s syscall.Signal) {
	if b.process == nil || b.process.Process == nil {
		return
	}
	b.process.Process.Signal(s)
	b.process.Process.Signal(syscall.SIGCONT) // a frozen one would not hear it
	select {
	case <-b.exited:
	case <-time.After(20 * time.Second):
		b.t.Errorf("mosquitto does not end: %s", b.log)
		b.process.Process.Kill()
		<-b.exited
	}
}

// Restart starts mosquitto again on the same port, after a Kill if it runs.
func (b *Broker) Restart() {
	b.t.Helper()
	b.Kill()
	if err := b.start(); err != nil {
		b.t.Fatal(err)
	}
}

// Freeze stops mosquitto where it is: connections stay, nothing is answered.
func (b *Broker) Freeze() { b.process.Process.Signal(syscall.SIGSTOP) }

// Thaw lets it go on.
func (b *Broker) Thaw() { b.process.Process.Signal(syscall.SIGCONT) }

// freeAddr finds a free port below those that the kernel gives away by itself,
// so that nobody gets it while a stopped mosquitto is to come back to it.
func freeAddr(t testing.TB) string {
	t.Helper()
	for range 100 {
		addr := fmt.Sprintf("127.0.0.1:%d", 10000+rand.IntN(22000))
		if l, err := net.Listen("tcp", addr); err == nil {
			l.Close()
			return addr
		}
	}
	t.Fatal("no free port from 10000 to 32000")
	return ""
}

func port(addr string) string {
	_, port, _ := net.SplitHostPort(addr)
	return port
}

// journal keeps the end of a log.
type journal struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (j *journal) add(line []byte) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.text.Len() > 1<<20 {
		j.text.Next(512 << 10)
	}
	j.text.Write(line)
	j.text.WriteByte('\n')
}

func (j *journal) String() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.String()
}
