package config

import (
	"errors"
	"fmt"
	"math"
	"strings"
	"time"
	"unicode/utf8"
)

// Error says what is wrong with one value, and what to do about it.
type Error struct {
	Path string // "connections.cloud.broker", "connections.cloud.forward[0].topic"
	Msg  string
	Hint string // what to do; may be ""
}

func (e *Error) Error() string {
	s := e.Msg
	if e.Path != "" {
		s = e.Path + ": " + s
	}
	if e.Hint != "" {
		s += "; " + e.Hint
	}
	return s
}

// problems collects what is wrong: for each path the first complaint, and none
// below a path that has one.
type problems struct {
	found []*Error
}

func (p *problems) add(path, msg, hint string) {
	for _, e := range p.found {
		if Within(path, e.Path) {
			return
		}
	}
	p.found = append(p.found, &Error{path, msg, hint})
}

func (p *problems) join() error {
	errs := make([]error, len(p.found))
	for i, e := range p.found {
		errs[i] = e
	}
	return errors.Join(errs...)
}

// Within says whether path is parent or lies below it.
func Within(path, parent string) bool {
	rest, ok := strings.CutPrefix(path, parent)
	return ok && (rest == "" || rest[0] == '.' || rest[0] == '[')
}

func (p *problems) number(path string, v, low, high int) {
	switch {
	case v < low && high == math.MaxInt:
		p.add(path, "must not be negative", "")
	case v < low || v > high:
		p.add(path, fmt.Sprintf("must be from %d to %d", low, high), "")
	}
}

func (p *problems) size(path string, v, low, high int64) {
	switch {
	case v < low && high == math.MaxInt64:
		p.add(path, "must not be negative", "")
	case v < low || v > high:
		p.add(path, fmt.Sprintf("must be from %s to %s", FormatSize(low), FormatSize(high)), "")
	}
}

func (p *problems) duration(path string, v, low, high time.Duration) {
	switch {
	case v < low && high == math.MaxInt64:
		p.add(path, "must not be negative", "")
	case v < low || v > high:
		p.add(path, fmt.Sprintf("must be from %s to %s", FormatDuration(low), FormatDuration(high)), "")
	}
}

// text checks what must be a string of MQTT [MQTT-1.5.3] or a path.
func (p *problems) text(path, v string) {
	switch {
	case !utf8.ValidString(v):
		p.add(path, "is not valid UTF-8", "")
	case strings.IndexByte(v, 0) >= 0:
		p.add(path, "contains a NUL character", "")
	case len(v) > 65535:
		p.add(path, fmt.Sprintf("has %d bytes, at most 65535 are allowed", len(v)), "")
	}
}

// Errors lists the problems that an error of SetDefaultsAndValidate joins.
func Errors(err error) []*Error {
	var list []*Error
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		for _, e := range joined.Unwrap() {
			list = append(list, Errors(e)...)
		}
		return list
	}
	var e *Error
	if errors.As(err, &e) {
		list = append(list, e)
	}
	return list
}
