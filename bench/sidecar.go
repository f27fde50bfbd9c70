//go:build linux

package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"github.com/mqttdb/mqttdb/internal/peer"
	"github.com/mqttdb/mqttdb/sidecar"
)

// throughSidecar measures what a program beside the sidecar gets stored, with as many
// messages on their way as the library has producers, beside the library and the bare
// loop.
func throughSidecar(ctx context.Context, b *bench) error {
	var ours, theirs, bare, ratios, bareRatios, cpu sample
	for range b.rounds {
		l, err := b.publish(ctx, 0)
		if err != nil {
			return err
		}
		limit, err := bareLoop(b.dir, l)
		if err != nil {
			return err
		}
		s, err := b.publishBeside(ctx)
		if err != nil {
			return err
		}
		ours, theirs, bare = append(ours, s.rate()), append(theirs, l.rate()), append(bare, limit.rate())
		ratios, bareRatios = append(ratios, s.rate()/l.rate()), append(bareRatios, s.rate()/limit.rate())
		cpu = append(cpu, s.cpuPer())
	}
	b.report.add(row{
		what: fmt.Sprintf("sidecar, window %d", producers), target: "≥ 0.3 × bare loop",
		measured: ours.text(rate), beside: "bare append+fdatasync: " + bare.text(rate) + "; library: " + theirs.text(rate),
		held: bareRatios, least: 0.3,
	})
	b.report.cost("sidecar beside the library", ratios.text(ratio))
	b.report.cost("CPU per message in, sidecar", cpu.text(micros))
	return nil
}

// publishBeside has a sidecar store messages for a while. There is no broker.
func (b *bench) publishBeside(ctx context.Context) (l load, err error) {
	dir, err := os.MkdirTemp(b.dir, "sidecar")
	if err != nil {
		return load{}, err
	}
	s, err := startSidecar(b.binary, dir)
	if err != nil {
		return load{}, err
	}
	defer func() { err = errors.Join(err, s.leave(), os.RemoveAll(dir)) }()
	p := peer.New("bench-0123456789ab", dir)
	if err := p.Dial(ctx, s.address); err != nil {
		return load{}, err
	}
	target := sidecar.Target{Broker: "bench"}
	if _, err := p.Ask(ctx, sidecar.OpenType, target, map[string]any{"url": "mqtt://" + nobody, "client_id": "bench", "connect": false}); err != nil {
		return load{}, err
	}
	began, before, err := s.now()
	if err != nil {
		return load{}, err
	}
	buf := make([]byte, payloadSize)
	for l.messages = 0; time.Since(began) < b.length; {
		open := 0
		if err := p.Await(ctx, func(s peer.State) bool { open = s.Open; return open < producers }); err != nil {
			return load{}, err
		}
		list := make([][]byte, 0, producers)
		for len(list) < producers-open {
			fill(buf, 0, l.messages)
			list = append(list, append([]byte(nil), buf...))
			l.messages++
		}
		if err := p.Publish(sidecar.MessageHeader{Broker: "bench", Topic: topic(l.messages), QoS: 1}, 0, list...); err != nil {
			return load{}, err
		}
	}
	if err := p.Acked(ctx); err != nil {
		return load{}, err
	}
	ended, after, err := s.now()
	l.took, l.cpu = ended.Sub(began), after-before
	return l, errors.Join(err, p.Close())
}

// beside is a sidecar in a process of its own.
type beside struct {
	process *exec.Cmd
	in      io.Closer
	address string
}

func startSidecar(binary, dir string) (*beside, error) {
	log, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		return nil, err
	}
	defer log.Close()
	s := &beside{process: exec.Command(binary, "sidecar")}
	s.process.Stderr = log
	s.process.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if s.in, err = s.process.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := s.process.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := s.process.Start(); err != nil {
		return nil, err
	}
	var hello struct{ Address string }
	line, err := bufio.NewReader(out).ReadBytes('\n')
	if err == nil {
		err = json.Unmarshal(line, &hello)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("the sidecar printed %q: %w", line, err), s.process.Process.Kill(), s.process.Wait())
	}
	s.address = hello.Address
	return s, nil
}

// now is the time, and what the sidecar has taken of the processor until then.
func (s *beside) now() (time.Time, time.Duration, error) {
	cpu, err := processCPU(s.process.Process.Pid)
	return time.Now(), cpu, err
}

// leave ends the sidecar as its program does.
func (s *beside) leave() error { return errors.Join(s.in.Close(), s.process.Wait()) }
