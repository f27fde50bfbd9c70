//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/mqttdb/mqttdb"
)

// wearTime is how long each rate is published at.
const wearTime = 30 * time.Second

// wear measures what a message costs a flash card: what is written and how often it
// is synced, by the rate of messages and by commit_delay. The broker is there and
// acknowledges at once. Nothing else may write to the disk meanwhile.
func wear(ctx context.Context, b *bench) error {
	text := fmt.Sprintf("Messages of %d bytes at QoS 1, sync: always, %v each; by the process: /proc/self/io, by the device: its sectors, with all that writes to it.\n\n", payloadSize, wearTime) +
		"| messages/s | commit_delay | syncs per message | bytes_written / payload_bytes | by the process, per message | by the device, per message |\n|---|---|---|---|---|---|\n"
	for _, perSecond := range []int{1, 10, 1000} {
		for _, delay := range []time.Duration{0, time.Second, 10 * time.Second} {
			w, err := b.worn(ctx, perSecond, delay)
			if err != nil {
				return fmt.Errorf("%d messages/s, commit_delay %v: %w", perSecond, delay, err)
			}
			line := fmt.Sprintf("| %d | %v | %.3g | %.3g | %s | %s |\n", perSecond, delay, w.syncs, w.factor, bytes(w.process), bytes(w.device))
			fmt.Fprint(os.Stderr, "  ", line)
			text += line
		}
	}
	b.report.tables = append(b.report.tables, text)
	return nil
}

// worn is what one message costs.
type worn struct{ syncs, factor, process, device float64 }

func (b *bench) worn(ctx context.Context, perSecond int, delay time.Duration) (w worn, err error) {
	dir, err := os.MkdirTemp(b.dir, "wear")
	if err != nil {
		return w, err
	}
	defer os.RemoveAll(dir)
	addr, err := freeAddr()
	if err != nil {
		return w, err
	}
	elsewhere, err := os.MkdirTemp("", "wear") // what the broker writes is not counted
	if err != nil {
		return w, err
	}
	defer os.RemoveAll(elsewhere)
	broker, err := startMosquitto(ctx, elsewhere, addr)
	if err != nil {
		return w, err
	}
	defer broker.stop()
	db, err := mqttdb.Open(ctx, mqttdb.Config{DataDir: dir, Connections: []mqttdb.ConnectionConfig{
		{Name: "bench", Broker: "mqtt://" + addr, CommitDelay: delay},
	}})
	if err != nil {
		return w, err
	}
	defer func() { err = errors.Join(err, db.Close(context.WithoutCancel(ctx))) }()
	conn := db.Connection("bench")
	if err := conn.Drain(ctx); err != nil {
		return w, err
	}
	unix.Sync()
	before, read, sectors := conn.Status().Outgoing, processWritten(), deviceWritten(dir)
	tick := time.NewTicker(time.Second / time.Duration(perSecond))
	defer tick.Stop()
	n := int(wearTime/time.Second) * perSecond
	for i := range n {
		payload := make([]byte, payloadSize)
		fill(payload, 0, i)
		if _, err := conn.PublishAsync(ctx, mqttdb.Message{Topic: topic(0), Payload: payload, QoS: 1}); err != nil {
			return w, err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return w, ctx.Err()
		}
	}
	if err := conn.Drain(ctx); err != nil {
		return w, err
	}
	unix.Sync()
	after := conn.Status().Outgoing
	per := 1 / float64(n)
	return worn{
		syncs:   float64(after.Syncs-before.Syncs) * per,
		factor:  float64(after.BytesWritten-before.BytesWritten) / float64(after.PayloadBytes-before.PayloadBytes),
		process: (processWritten() - read) * per,
		device:  (deviceWritten(dir) - sectors) * per,
	}, nil
}

// processWritten is how many bytes this process has had written.
func processWritten() float64 {
	b, err := os.ReadFile("/proc/self/io")
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(b)) {
		if text, ok := strings.CutPrefix(line, "write_bytes: "); ok {
			n, _ := strconv.ParseFloat(strings.TrimSpace(text), 64)
			return n
		}
	}
	return 0
}

// deviceWritten is how many bytes were written to the device that dir lies on; 0 if
// it does not tell.
func deviceWritten(dir string) float64 {
	var s syscall.Stat_t
	if syscall.Stat(dir, &s) != nil {
		return 0
	}
	b, err := os.ReadFile(filepath.Join("/sys/dev/block", fmt.Sprintf("%d:%d", unix.Major(s.Dev), unix.Minor(s.Dev)), "stat"))
	if err != nil {
		return 0
	}
	fields := strings.Fields(string(b))
	if len(fields) < 7 {
		return 0
	}
	sectors, _ := strconv.ParseFloat(fields[6], 64)
	return 512 * sectors
}
