//go:build linux

package main

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	"github.com/mqttdb/mqttdb/bench/protocol"
)

// bareSyncs is how long it takes to append a message to a file and to sync it.
func bareSyncs(dir string, n int) (times protocol.Latencies, err error) {
	file, err := os.OpenFile(filepath.Join(dir, "bare"), os.O_WRONLY|os.O_CREATE|os.O_TRUNC|os.O_APPEND, 0o600)
	if err != nil {
		return nil, err
	}
	defer os.Remove(file.Name())
	defer file.Close()
	data := make([]byte, protocol.Size)
	for i := range n {
		protocol.Fill(data, 0, uint64(i))
		began := time.Now()
		if _, err := file.Write(data); err != nil {
			return nil, err
		}
		if err := syscall.Fdatasync(int(file.Fd())); err != nil {
			return nil, err
		}
		times.Add(time.Since(began))
	}
	return times, nil
}

// bareLoop appends batches of the given sizes to a new file in dir and calls
// fdatasync after each: what l would have cost had nothing else been to do.
func bareLoop(dir string, l load) (load, error) {
	if len(l.batches) == 0 {
		return load{}, errors.New("nothing was synced")
	}
	file, err := os.OpenFile(filepath.Join(dir, "bare"), os.O_WRONLY|os.O_CREATE|os.O_TRUNC|os.O_APPEND, 0o600)
	if err != nil {
		return load{}, err
	}
	defer os.Remove(file.Name())
	defer file.Close()
	data := make([]byte, slices.Max(l.batches))
	fill(data, 0, 0)
	before, began := selfCPU(), time.Now()
	for _, n := range l.batches {
		if _, err := file.Write(data[:n]); err != nil {
			return load{}, err
		}
		if err := syscall.Fdatasync(int(file.Fd())); err != nil {
			return load{}, err
		}
	}
	return load{messages: l.messages, took: time.Since(began), cpu: selfCPU() - before, batches: l.batches}, nil
}
