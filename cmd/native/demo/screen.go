//go:build !js

package demo

import (
	"context"
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"golang.org/x/term"
)

// screen prints lines, and on a terminal one line below them that changes.
type screen struct {
	mu       sync.Mutex
	out      io.Writer
	terminal bool
	last     string
	at       time.Time
}

func newScreen(out io.Writer) *screen {
	f, ok := out.(*os.File)
	return &screen{out: out, terminal: ok && term.IsTerminal(int(f.Fd()))}
}

// line prints a line that stays.
func (s *screen) line(format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	text := fmt.Sprintf(format, args...)
	if s.terminal {
		fmt.Fprintf(s.out, "\r\x1b[K%s\r\n%s", text, s.last)
		return
	}
	fmt.Fprintln(s.out, text)
}

// end takes the line that changes away.
func (s *screen) end() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.terminal {
		fmt.Fprint(s.out, "\r\x1b[K")
	}
}

// status shows the line that changes; without a terminal it is printed every
// five seconds.
func (s *screen) status(text string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.terminal {
		if width, _, err := term.GetSize(int(os.Stdout.Fd())); err == nil && width > 1 && len(text) >= width {
			text = text[:width-1] // a line that wraps cannot be overwritten
		}
		s.last = text
		fmt.Fprintf(s.out, "\r\x1b[K%s", text)
		return
	}
	if time.Since(s.at) >= 5*time.Second {
		s.at = time.Now()
		fmt.Fprintln(s.out, text)
	}
}

// readKeys returns the keys that are pressed, and what puts the terminal back.
// Without a terminal the channel is closed.
func readKeys(ctx context.Context) (<-chan byte, func()) {
	keys := make(chan byte)
	fd := int(os.Stdin.Fd())
	state, err := term.MakeRaw(fd)
	if err != nil {
		close(keys)
		return keys, func() {}
	}
	go func() {
		defer close(keys)
		var b [1]byte
		for {
			if _, err := os.Stdin.Read(b[:]); err != nil {
				return
			}
			select {
			case keys <- b[0]:
			case <-ctx.Done():
				return
			}
		}
	}()
	return keys, func() { _ = term.Restore(fd, state) }
}
