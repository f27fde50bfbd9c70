package storetest

import (
	"slices"
	"sync"
	"time"
	"unsafe"
)

// Clock is a clock that moves when it is told to. As with a real one its times have
// two readings: that of the wall clock, which can be set, and a monotonic one, which
// Sub goes by. It may be used concurrently.
type Clock struct {
	mu     sync.Mutex
	now    time.Time
	timers []*timer
}

type timer struct {
	at time.Time
	f  func()
}

// NewClock returns a clock that shows the present time.
func NewClock() *Clock { return &Clock{now: time.Now()} }

// Now is what the clock shows.
func (c *Clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

// AfterFunc has f called by Advance once d has passed, unless it is stopped.
func (c *Clock) AfterFunc(d time.Duration, f func()) (stop func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	t := &timer{c.now.Add(d), f}
	c.timers = append(c.timers, t)
	return func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.timers = slices.DeleteFunc(c.timers, func(o *timer) bool { return o == t })
	}
}

// Advance moves on and calls, in order, what has become due.
func (c *Clock) Advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	end := c.now.Add(d)
	for {
		var next *timer
		for _, t := range c.timers {
			if t.at.Sub(end) <= 0 && (next == nil || t.at.Sub(next.at) < 0) {
				next = t
			}
		}
		if next == nil {
			break
		}
		c.timers = slices.DeleteFunc(c.timers, func(t *timer) bool { return t == next })
		if due := next.at.Sub(c.now); due > 0 {
			c.now = c.now.Add(due)
		}
		c.mu.Unlock()
		next.f()
		c.mu.Lock()
	}
	c.now = c.now.Add(end.Sub(c.now))
}

// Set sets the wall clock forward, or back, by whole seconds: no time passes.
func (c *Clock) Set(by time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = SetWall(c.now, by)
}

// SetWall is t, which has a monotonic reading, with another one of the wall clock, by
// whole seconds.
func SetWall(t time.Time, by time.Duration) time.Time {
	// Package time has no way to say this. Its times keep the seconds of the wall
	// clock above 30 bits of nanoseconds while they have a monotonic reading.
	set := t
	*(*uint64)(unsafe.Pointer(&set)) += uint64(by/time.Second) << 30
	if set.Sub(t) != 0 || set.Unix()-t.Unix() != int64(by/time.Second) {
		panic("storetest: the clock cannot be set: times of package time look different now")
	}
	return set
}
