//go:build unix

// Package tinyproxy runs a tinyproxy of its own for a test: an HTTP proxy on
// 127.0.0.1, with a configuration in a temporary folder, stopped when the test
// ends.
package tinyproxy

import (
	"bufio"
	"fmt"
	"math/rand/v2"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// Proxy is a running tinyproxy.
type Proxy struct {
	addr string
	user *url.Userinfo
	log  struct {
		sync.Mutex
		lines []string
	}
}

// Start starts a tinyproxy and waits until it accepts connections. With a user it
// refuses everybody else. lines are added to its configuration, as in
// tinyproxy.conf(5). The test fails at once if there is no tinyproxy.
func Start(t testing.TB, user *url.Userinfo, lines ...string) *Proxy {
	t.Helper()
	path, err := exec.LookPath("tinyproxy")
	if err != nil {
		t.Fatal("tinyproxy is not there: install it: apt-get install tinyproxy-bin (make test does it)")
	}
	// Another process may take a port between our choice and tinyproxy's.
	for attempt := 1; ; attempt++ {
		p := &Proxy{user: user}
		err := p.start(t, path, lines)
		if err == nil {
			return p
		}
		if attempt == 5 {
			t.Fatal(err)
		}
	}
}

func (p *Proxy) start(t testing.TB, path string, lines []string) error {
	t.Helper()
	port := 10000 + rand.IntN(22000)
	p.addr = fmt.Sprintf("127.0.0.1:%d", port)
	if l, err := net.Listen("tcp", p.addr); err != nil {
		return err
	} else {
		l.Close()
	}
	config := []string{fmt.Sprint("Port ", port), "Listen 127.0.0.1", "Timeout 600", "LogLevel Info", "MaxClients 100", "Allow 127.0.0.1"}
	if p.user != nil {
		password, _ := p.user.Password()
		config = append(config, fmt.Sprintf("BasicAuth %s %s", p.user.Username(), password))
	}
	file := filepath.Join(t.TempDir(), "tinyproxy.conf")
	if err := os.WriteFile(file, []byte(strings.Join(append(config, lines...), "\n")+"\n"), 0o600); err != nil {
		return err
	}
	process := exec.Command(path, "-d", "-c", file)
	process.SysProcAttr = orphanless()
	out, err := process.StdoutPipe()
	if err != nil {
		return err
	}
	process.Stderr = process.Stdout
	if err := process.Start(); err != nil {
		return fmt.Errorf("start %s: %w", path, err)
	}
	ready, exited := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(exited)
		scanner := bufio.NewScanner(out)
		for up := false; scanner.Scan(); {
			p.log.Lock()
			p.log.lines = append(p.log.lines, scanner.Text())
			p.log.Unlock()
			if !up && strings.Contains(scanner.Text(), "Accepting connections") {
				up = true
				close(ready)
			}
		}
		process.Wait()
	}()
	t.Cleanup(func() {
		process.Process.Kill()
		<-exited
	})
	select {
	case <-ready:
		return nil
	case <-exited:
		return fmt.Errorf("tinyproxy did not start: %s", p.Log())
	case <-time.After(20 * time.Second):
		return fmt.Errorf("tinyproxy does not say that it runs: %s", p.Log())
	}
}

// URL is how a client calls the proxy, with its user.
func (p *Proxy) URL() *url.URL { return &url.URL{Scheme: "http", Host: p.addr, User: p.user} }

// Log is what the proxy has logged.
func (p *Proxy) Log() string {
	p.log.Lock()
	defer p.log.Unlock()
	return strings.Join(p.log.lines, "\n")
}
