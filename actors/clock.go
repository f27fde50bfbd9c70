package actors

import "time"

// Clock tells the time and wakes. Tests bring their own.
type Clock interface {
	Now() time.Time

	// AfterFunc calls f once d has passed, in a goroutine of its own. stop
	// prevents that if it has not happened yet.
	AfterFunc(d time.Duration, f func()) (stop func())
}

// systemClock is the real one.
type systemClock struct{}

// Now implements Clock.
func (systemClock) Now() time.Time { return time.Now() }

// AfterFunc implements Clock.
func (systemClock) AfterFunc(d time.Duration, f func()) func() {
	t := time.AfterFunc(d, f)
	return func() { t.Stop() }
}
