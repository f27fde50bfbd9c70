//go:build !js

package main

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// manager is systemd's end of the socket.
type manager struct {
	t    *testing.T
	conn *net.UnixConn
}

func startManager(t *testing.T) *manager {
	t.Helper()
	socket := filepath.Join(t.TempDir(), "notify")
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: socket, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	t.Setenv("NOTIFY_SOCKET", socket)
	return &manager{t, conn}
}

// next is what was told next.
func (m *manager) next() string {
	m.t.Helper()
	buf := make([]byte, 4096)
	m.conn.SetReadDeadline(time.Now().Add(20 * time.Second))
	n, err := m.conn.Read(buf)
	if err != nil {
		m.t.Fatal(err)
	}
	return string(buf[:n])
}

// await reads until something matches the pattern.
func (m *manager) await(pattern string) {
	m.t.Helper()
	wanted := regexp.MustCompile(pattern)
	for !wanted.MatchString(m.next()) {
	}
}

// unread reads what was told and not read yet, and returns how much that was.
func (m *manager) unread() (n int) {
	m.conn.SetReadDeadline(time.Now().Add(time.Millisecond))
	for buf := make([]byte, 4096); ; n++ {
		if _, err := m.conn.Read(buf); err != nil {
			return n
		}
	}
}

// What systemd is told from the start to the end.
func TestSystemd(t *testing.T) {
	m := startManager(t)
	config := writeConfig(t, cloudConfig)
	t.Run("running", func(t *testing.T) {
		startGateway(t, config)
		m.await(`^READY=1\nSTATUS=0 of 1 connections online, 0 messages pending$`)
		if code, _, stderr := command(t.Context(), "pub", "--config", config, "a", "b"); code != 0 {
			t.Fatal(stderr)
		}
		m.await(`^STATUS=0 of 1 connections online, 1 messages pending$`)
		if err := syscall.Kill(os.Getpid(), syscall.SIGHUP); err != nil {
			t.Fatal(err)
		}
		m.await(`^RELOADING=1\nMONOTONIC_USEC=[1-9]\d+\nSTATUS=`)
		m.await(`^READY=1\nSTATUS=0 of 1 connections`)
		rewrite(t, config, "client_id: test", "clientid: test")
		if err := syscall.Kill(os.Getpid(), syscall.SIGHUP); err != nil {
			t.Fatal(err)
		}
		m.await(`^RELOADING=1\n`)
		m.await(`^READY=1\nSTATUS=the configuration is wrong, nothing was changed: .*unknown key`)
		rewrite(t, config, "clientid: test", "client_id: test")
	})
	m.await(`^STOPPING=1\n`)
}

// The watchdog is told only while there is a sign of life.
func TestWatchdog(t *testing.T) {
	m := startManager(t)
	t.Setenv("WATCHDOG_USEC", "60000")
	t.Setenv("WATCHDOG_PID", "")
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var log lockedBuffer
	var hangs atomic.Bool
	asked := make(chan bool, 100)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		systemd{slog.New(slog.NewTextHandler(&log, nil))}.watch(ctx, func(ctx context.Context) error {
			asked <- hangs.Load()
			if hangs.Load() {
				<-ctx.Done() // it must not wait for longer than the watchdog allows
				return errors.New("no sign of life from cloud/outgoing")
			}
			return nil
		})
	}()
	m.await(`^WATCHDOG=1$`)
	m.await(`^WATCHDOG=1$`)
	hangs.Store(true)
	for !<-asked {
	}
	<-asked    // the one before was given up: whatever was told, was told by now
	m.unread() // from before it hung
	for range 3 {
		<-asked
	}
	if told := m.unread(); told > 0 {
		t.Errorf("the watchdog was told %d times that what hangs is alive", told)
	}
	if !strings.Contains(log.String(), "no sign of life from cloud/outgoing") {
		t.Errorf("the log does not say it: %s", log.String())
	}
	hangs.Store(false)
	m.await(`^WATCHDOG=1$`)
	cancel()
	<-ended
}

// Without systemd nothing is told, and nothing goes wrong.
func TestNoSystemd(t *testing.T) {
	t.Setenv("NOTIFY_SOCKET", "")
	t.Setenv("WATCHDOG_USEC", "")
	var log lockedBuffer
	s := systemd{slog.New(slog.NewTextHandler(&log, nil))}
	s.ready("x")
	s.watch(t.Context(), func(context.Context) error { t.Error("somebody asked"); return nil })
	t.Setenv("NOTIFY_SOCKET", filepath.Join(t.TempDir(), "nobody"))
	s.stopping()
	if got := log.String(); strings.Count(got, "\n") != 1 || !strings.Contains(got, "systemd cannot be told") {
		t.Errorf("%q", got)
	}
}
