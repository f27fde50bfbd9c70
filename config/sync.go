package config

import (
	"errors"
	"time"
)

// Sync says when what was written must be on stable storage. Its zero value is
// Always; a positive one is an interval: at most that much is lost on power
// loss. Under each policy everything survives the death of the process.
type Sync time.Duration

const (
	Always Sync = 0    // before it is acknowledged: it survives power loss
	Never  Sync = None // when the operating system likes
)

// Interval returns the policy that syncs at least every d.
func Interval(d time.Duration) Sync { return Sync(d) }

// Interval is how old what was written may become before it is synced; 0 for
// Always and for Never.
func (s Sync) Interval() time.Duration { return max(0, time.Duration(s)) }

func (s Sync) String() string {
	switch s {
	case Always:
		return "always"
	case Never:
		return "never"
	}
	return FormatDuration(time.Duration(s))
}

// MarshalText writes always, never or the interval.
func (s Sync) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText reads always, never or an interval like 500ms.
func (s *Sync) UnmarshalText(text []byte) error {
	switch string(text) {
	case "always":
		*s = Always
		return nil
	case "never":
		*s = Never
		return nil
	}
	d, err := ParseDuration(string(text))
	if err != nil || d == 0 {
		return errors.New("must be always, never or an interval like 500ms")
	}
	*s = Sync(d)
	return nil
}

func (s Sync) check(p *problems, path string) {
	if s != Always && s != Never && (s < Sync(time.Millisecond) || s > Sync(time.Hour)) {
		p.add(path, "must be always, never or an interval from 1ms to 1h", "")
	}
}
