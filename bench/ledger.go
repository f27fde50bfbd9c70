//go:build linux

package main

import (
	"time"

	"github.com/mqttdb/mqttdb/bench/protocol"
)

// ledger is what an independent subscriber has seen: it believes nobody but the
// messages themselves.
type ledger struct {
	producers map[int]*seen
	arrived   int // messages of which one copy at least has come

	damaged   int // payloads that no producer has published
	misplaced int // messages in a topic that is not theirs
	doubled   int // copies beyond the first
	reordered int // first copies behind a later message of the same producer

	first, last time.Time // arrivals of first copies
}

// seen are the messages of one producer that have come: one bit each.
type seen struct {
	bits    []uint64
	highest uint64
}

func newLedger() *ledger { return &ledger{producers: make(map[int]*seen)} }

// farthest is the largest number that a message can have: what is beyond is no
// message of ours, and would take gigabytes of bits.
const farthest = 1 << 32

// enter notes a message that came at a time.
func (l *ledger) enter(topic string, payload []byte, when time.Time) {
	producer, number, err := protocol.Parse(payload)
	if err != nil || number > farthest {
		l.damaged++
		return
	}
	if topic != protocol.Topic(producer) {
		l.misplaced++
	}
	s := l.producers[producer]
	if s == nil {
		s = &seen{}
		l.producers[producer] = s
	}
	switch {
	case s.has(number):
		l.doubled++
		return
	case number < s.highest:
		l.reordered++
	}
	s.add(number)
	if l.arrived++; l.arrived == 1 {
		l.first = when
	}
	l.last = when
}

func (s *seen) has(number uint64) bool {
	i := number / 64
	return i < uint64(len(s.bits)) && s.bits[i]>>(number%64)&1 == 1
}

func (s *seen) add(number uint64) {
	for uint64(len(s.bits)) <= number/64 {
		s.bits = append(s.bits, 0)
	}
	s.bits[number/64] |= 1 << (number % 64)
	s.highest = max(s.highest, number)
}

// missing counts the messages from first to before next of each producer that
// have not come. first may be nil: 0.
func (l *ledger) missing(first, next []uint64) int {
	n := 0
	for producer, end := range next {
		s := l.producers[producer]
		if s == nil {
			s = &seen{}
		}
		begin := uint64(0)
		if first != nil {
			begin = first[producer]
		}
		for number := begin; number < end; number++ {
			if !s.has(number) {
				n++
			}
		}
	}
	return n
}

// rate is that of first copies, in messages per second.
func (l *ledger) rate() float64 {
	if took := l.last.Sub(l.first).Seconds(); took > 0 {
		return float64(l.arrived-1) / took
	}
	return 0
}
