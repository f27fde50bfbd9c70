package config

import (
	"math"
	"time"
)

// Limit bounds one queue. A zero field means no bound, except MinFreeDisk.
type Limit struct {
	MaxMessages int           `yaml:"max_messages"`
	MaxBytes    int64         `yaml:"max_bytes,size"`
	MaxAge      time.Duration `yaml:"max_age"` // what is older expires

	// MinFreeDisk is how much of the disk stays free, in bytes. Default
	// 64 MiB; None for no such limit.
	MinFreeDisk int64 `yaml:"min_free_disk,size,none"`

	Overflow Overflow `yaml:"overflow"`
}

// Limits bounds the queues of a connection. What Outgoing or Incoming leave at
// its zero value is as set for both.
type Limits struct {
	Limit    `yaml:",inline"`
	Outgoing Limit `yaml:"outgoing"`
	Incoming Limit `yaml:"incoming"`
}

// DefaultMinFreeDisk is the default of Limit.MinFreeDisk, in bytes.
const DefaultMinFreeDisk = 64 << 20

func (l *Limits) setDefaults() {
	l.Limit.setDefaults(Limit{})
	l.Outgoing.setDefaults(l.Limit)
	l.Incoming.setDefaults(l.Limit)
}

// setDefaults takes from both what l does not set.
func (l *Limit) setDefaults(both Limit) {
	defaultTo(&l.MaxMessages, both.MaxMessages)
	defaultTo(&l.MaxBytes, both.MaxBytes)
	defaultTo(&l.MaxAge, both.MaxAge)
	defaultTo(&l.MinFreeDisk, both.MinFreeDisk)
	defaultTo(&l.MinFreeDisk, DefaultMinFreeDisk)
	defaultTo(&l.Overflow, both.Overflow)
	defaultTo(&l.Overflow, Reject)
}

func (l *Limits) check(p *problems, path string) {
	l.Limit.check(p, path)
	l.Outgoing.check(p, path+".outgoing")
	l.Incoming.check(p, path+".incoming")
}

func (l *Limit) check(p *problems, path string) {
	p.number(path+".max_messages", l.MaxMessages, 0, math.MaxInt)
	p.size(path+".max_bytes", l.MaxBytes, 0, math.MaxInt64)
	p.duration(path+".max_age", l.MaxAge, 0, math.MaxInt64)
	p.size(path+".min_free_disk", l.MinFreeDisk, None, math.MaxInt64)
	checkChoice(p, path+".overflow", l.Overflow)
}
