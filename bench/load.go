//go:build linux

package main

import (
	"encoding/binary"
	"fmt"
	"time"
)

const (
	payloadSize = 200
	topics      = 100
)

// load is what one contender did in one turn.
type load struct {
	messages int
	took     time.Duration
	cpu      time.Duration // of the process that was measured

	// batches are the bytes that each durable write held, in order; nil if the
	// load stored nothing.
	batches []int64
}

// rate is in messages per second.
func (l load) rate() float64 { return float64(l.messages) / l.took.Seconds() }

// cpuPer is in µs per message.
func (l load) cpuPer() float64 {
	return float64(l.cpu.Nanoseconds()) / 1000 / float64(l.messages)
}

// syncsPer1000 is how many durable writes 1,000 messages took.
func (l load) syncsPer1000() float64 {
	return float64(len(l.batches)) * 1000 / float64(l.messages)
}

// topic is the n-th topic: 16 bytes.
func topic(n int) string { return fmt.Sprintf("site1/dev%03d/tmp", n%topics) }

// fill makes b a payload of its own for each producer and number, of whatever
// else is in it. It costs next to nothing, for it is a part of
// what is measured.
func fill(b []byte, producer, number int) {
	binary.BigEndian.PutUint32(b, uint32(producer))
	binary.BigEndian.PutUint64(b[4:], uint64(number))
}
