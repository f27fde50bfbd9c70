//go:build linux

package main

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// mosquitto is a broker of our own, without persistence unless its lines say
// otherwise.
type mosquitto struct {
	addr    string
	process *exec.Cmd
	exited  chan error
}

func findMosquitto() (string, error) {
	for _, place := range []string{"mosquitto", "/usr/sbin/mosquitto", "/usr/local/sbin/mosquitto"} {
		if path, err := exec.LookPath(place); err == nil {
			return path, nil
		}
	}
	return "", fmt.Errorf("mosquitto is not there: scripts/setup.sh installs it")
}

// startMosquitto starts a mosquitto that listens at addr, and waits until it
// does. more are lines of its configuration.
func startMosquitto(ctx context.Context, dir, addr string, more ...string) (*mosquitto, error) {
	path, err := findMosquitto()
	if err != nil {
		return nil, err
	}
	_, port, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, err
	}
	lines := append([]string{"log_dest stderr", "log_type information", "listener " + port + " 127.0.0.1", "allow_anonymous true"}, more...)
	if os.Getuid() == 0 {
		lines = append([]string{"user root"}, lines...)
	}
	file := filepath.Join(dir, "mosquitto.conf")
	if err := os.WriteFile(file, []byte(strings.Join(lines, "\n")+"\n"), 0o600); err != nil {
		return nil, err
	}
	m := &mosquitto{addr: addr, process: exec.Command(path, "-c", file), exited: make(chan error, 1)}
	m.process.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	stderr, err := m.process.StderrPipe()
	if err != nil {
		return nil, err
	}
	if err := m.process.Start(); err != nil {
		return nil, err
	}
	running := make(chan struct{})
	go func() {
		up := false
		for log := bufio.NewScanner(stderr); log.Scan(); {
			if !up && strings.HasSuffix(log.Text(), " running") {
				up = true
				close(running)
			}
		}
		m.exited <- m.process.Wait()
	}()
	select {
	case <-running:
		return m, nil
	case err := <-m.exited:
		return nil, fmt.Errorf("mosquitto ended at once: %w", err)
	case <-time.After(20 * time.Second):
		m.stop()
		return nil, fmt.Errorf("mosquitto does not say that it runs")
	case <-ctx.Done():
		m.stop()
		return nil, ctx.Err()
	}
}

// stop ends the broker and waits for that.
func (m *mosquitto) stop() {
	_ = m.process.Process.Kill() // it may be gone
	<-m.exited
}

// end ends the broker in good order, so that it saves what it saves then, and
// waits for that.
func (m *mosquitto) end(ctx context.Context) error {
	if err := m.process.Process.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	select {
	case <-m.exited:
		return nil
	case <-ctx.Done():
		m.stop()
		return ctx.Err()
	}
}

// freeAddr is an address that nobody listens at now.
func freeAddr() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer l.Close()
	return l.Addr().String(), nil
}
