//go:build linux

package main

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/mqttdb/mqttdb/bench/protocol"
)

// behaviour is the environment variable that says how a keeper behaves.
const behaviour = "BENCH_TEST_KEEPER"

// keeper is a contender as simple as can be: it appends messages to a file, and when
// it is opened it sends what is there.
type keeper struct {
	mu   sync.Mutex
	file *os.File
	how  string
}

func openKeeper(s protocol.Settings, how string) (protocol.Queue, error) {
	if err := os.MkdirAll(s.Dir, 0o700); err != nil {
		return nil, err
	}
	name := filepath.Join(s.Dir, "messages")
	had, err := os.ReadFile(name)
	if err != nil && !os.IsNotExist(err) {
		return nil, err
	}
	had = had[:len(had)-len(had)%protocol.Size] // a kill may cut a write at the end of a page
	if err := os.WriteFile(name, had, 0o600); err != nil {
		return nil, err
	}
	file, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return nil, err
	}
	go send(strings.TrimPrefix(s.Broker, "tcp://"), changed(slices.Collect(slices.Chunk(had, protocol.Size)), how))
	return &keeper{file: file, how: how}, nil
}

// changed are the messages that are sent.
func changed(messages [][]byte, how string) [][]byte {
	switch how {
	case "doubles":
		return append(messages, messages...)
	case "reverses":
		slices.Reverse(messages)
	case "damages":
		for _, m := range messages {
			m[50]++
		}
	}
	return messages
}

// send tries until the broker is there.
func send(addr string, messages [][]byte) {
	for range time.Tick(10 * time.Millisecond) {
		c, err := connect(addr, "bench-keeper")
		if err != nil {
			continue
		}
		for _, m := range messages {
			topic := protocol.Topic(int(m[0]))
			size := 2 + len(topic) + len(m)
			packet := append([]byte{0x30, byte(size) | 128, byte(size >> 7), 0, byte(len(topic))}, topic...)
			if _, err := c.conn.Write(append(packet, m...)); err != nil {
				return
			}
		}
		return
	}
}

func (k *keeper) Enqueue(_ context.Context, _ string, payload []byte) (func() error, error) {
	if k.how == "loses" {
		return nil, nil
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	_, err := k.file.Write(payload)
	return nil, err
}

func (*keeper) Pending() int { return -1 }

func (k *keeper) Close(context.Context) error { return k.file.Close() }

// The cell that kills contenders sees what they do to messages.
func TestCrashSeesEachFault(t *testing.T) {
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	const n = 300
	for _, test := range []struct {
		how  string
		seen func(crash) bool
	}{
		{"keeps", func(c crash) bool { return c.lost+c.doubled+c.reordered+c.damaged == 0 }},
		{"loses", func(c crash) bool { return c.lost == n && c.doubled+c.reordered+c.damaged == 0 }},
		{"doubles", func(c crash) bool { return c.lost == 0 && c.doubled >= n && c.reordered+c.damaged == 0 }},
		{"reverses", func(c crash) bool { return c.lost == 0 && c.reordered >= n/2 && c.doubled+c.damaged == 0 }},
		{"damages", func(c crash) bool { return c.lost == n && c.damaged >= n && c.doubled+c.reordered == 0 }},
	} {
		t.Run(test.how, func(t *testing.T) {
			t.Setenv(behaviour, test.how)
			u, err := newUpstream(t.Context(), t.TempDir())
			if err != nil {
				t.Fatal(err)
			}
			b := &bench{dir: t.TempDir()}
			s := &standing{contender: contender{name: "keeper"}, starter: driverStarter("", program)}
			p := plan{crash: n, settling: 2 * time.Second, still: 300 * time.Millisecond}
			for i, there := range []bool{false, true} {
				if err := b.measureCrash(t.Context(), p, u, s, there); err != nil {
					t.Fatal(err)
				}
				if c := s.crashes[i]; c.stored != n || c.there != there || !test.seen(c) {
					t.Errorf("it %s, and that looks like this: %+v", test.how, c)
				}
			}
		})
	}
}
