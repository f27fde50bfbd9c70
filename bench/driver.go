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
	"strings"
	"syscall"

	"github.com/mqttdb/mqttdb/bench/protocol"
)

// driver is a contender that is a library, in a process of its own; see package
// protocol.
type driver struct {
	process *exec.Cmd
	orders  io.WriteCloser
	output  io.Closer
	answers *bufio.Scanner // of output
	log     string         // file
	exited  chan struct{}
}

// startDriver starts a driver and lets it open what is in dir.
func startDriver(ctx context.Context, command []string, dir, broker string) (*driver, error) {
	d := &driver{log: filepath.Join(dir, "log"), exited: make(chan struct{})}
	log, err := os.OpenFile(d.log, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	args := append(command[1:len(command):len(command)], "--dir", filepath.Join(dir, "data"), "--broker", "tcp://"+broker, "--client-id", "bench-driver")
	d.process = exec.Command(command[0], args...)
	d.process.Stderr = log
	d.process.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if d.orders, err = d.process.StdinPipe(); err != nil {
		return nil, err
	}
	out, in, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	d.process.Stdout = in
	d.output, d.answers = out, bufio.NewScanner(out)
	if err := d.process.Start(); err != nil {
		return nil, errors.Join(err, in.Close(), out.Close())
	}
	in.Close()
	go func() {
		_ = d.process.Wait() // how it ended is seen by what it answered
		close(d.exited)
	}()
	if _, err := d.say(ctx, protocol.Order{Do: "open"}); err != nil {
		d.kill()
		return nil, err
	}
	return d, nil
}

// say gives the driver an order and waits for the answer.
func (d *driver) say(ctx context.Context, o protocol.Order) (a protocol.Answer, err error) {
	defer func() {
		if err != nil && ctx.Err() != nil {
			err = fmt.Errorf("%s: %w", o.Do, ctx.Err())
		}
	}()
	stop := context.AfterFunc(ctx, func() { _ = d.process.Process.Kill() })
	defer stop()
	if err := json.NewEncoder(d.orders).Encode(o); err != nil {
		return a, fmt.Errorf("%s: %w", o.Do, err)
	}
	if !d.answers.Scan() {
		return a, fmt.Errorf("%s: the driver ended: %s", o.Do, lastLine(d.log))
	}
	if err := json.Unmarshal(d.answers.Bytes(), &a); err != nil {
		return a, fmt.Errorf("%s is answered with %q: %w", o.Do, d.answers.Text(), err)
	}
	if a.Error != "" {
		return a, fmt.Errorf("%s: %s", o.Do, a.Error)
	}
	return a, nil
}

func (d *driver) enqueue(ctx context.Context, o protocol.Order) (protocol.Answer, error) {
	o.Do = "enqueue"
	return d.say(ctx, o)
}

func (d *driver) single(ctx context.Context) (func(number uint64) error, func() error, error) {
	return func(number uint64) error {
		_, err := d.enqueue(ctx, protocol.Order{Producers: 1, Window: 1, Messages: 1, First: []uint64{number}})
		return err
	}, func() error { return nil }, nil
}

func (d *driver) pid() int { return d.process.Process.Pid }

func (d *driver) ended() <-chan struct{} { return d.exited }

func (d *driver) kill() {
	_ = d.process.Process.Kill() // it may be gone
	<-d.exited
	d.output.Close()
}

func (d *driver) close(ctx context.Context) error {
	_, err := d.say(ctx, protocol.Order{Do: "close"})
	if err != nil {
		return err
	}
	select {
	case <-d.exited:
		return d.output.Close()
	case <-ctx.Done():
		d.kill()
		return fmt.Errorf("it does not end: %w", ctx.Err())
	}
}

// lastLine is the end of a log.
func lastLine(file string) string {
	text, err := os.ReadFile(file)
	if err != nil {
		return err.Error()
	}
	all := strings.Split(strings.TrimSpace(string(text)), "\n")
	return all[len(all)-1]
}
