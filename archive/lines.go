package archive

import (
	"bufio"
	"errors"
	"fmt"
	"io"

	"github.com/mqttdb/mqttdb/types"
)

// LineError says what is wrong with a line of a file. Behind it reading can go on.
type LineError struct {
	Line uint64 // from 1
	Err  error
}

func (e *LineError) Error() string { return fmt.Sprintf("line %d: %v", e.Line, e.Err) }

func (e *LineError) Unwrap() error { return e.Err }

// Lines reads lines of any length, of which it keeps one. One that is too long is
// passed over.
type Lines struct {
	r      *bufio.Reader
	max    int
	buf    []byte
	number uint64
	start  int64 // of the present line
	next   int64
}

// NewLines reads lines of up to max bytes.
func NewLines(r io.Reader, max int) *Lines {
	return &Lines{r: bufio.NewReaderSize(r, 64<<10), max: max}
}

// Number is that of the line that was read last, from 1.
func (l *Lines) Number() uint64 { return l.number }

// Start is at which byte it begins.
func (l *Lines) Start() int64 { return l.start }

// Next returns the next line without its end, until the next call; the last one may
// have none. The error is io.EOF at the end, a *LineError for a line that is too
// long, or that of the reader.
func (l *Lines) Next() ([]byte, error) {
	l.buf = l.buf[:0]
	l.start = l.next
	long, any := false, false
	for {
		part, err := l.r.ReadSlice('\n')
		l.next += int64(len(part))
		any = any || len(part) > 0
		if long = long || len(l.buf)+len(part) > l.max+1; !long {
			l.buf = append(l.buf, part...)
		}
		switch {
		case errors.Is(err, bufio.ErrBufferFull):
			continue
		case err == io.EOF && !any:
			return nil, io.EOF
		case err != nil && err != io.EOF:
			return nil, err
		}
		l.number++
		if long {
			return nil, &LineError{l.number, fmt.Errorf("%w: it is longer than %d bytes", types.ErrCorrupt, l.max)}
		}
		return trimEnd(l.buf), nil
	}
}

func trimEnd(b []byte) []byte {
	if n := len(b); n > 0 && b[n-1] == '\n' {
		b = b[:n-1]
	}
	if n := len(b); n > 0 && b[n-1] == '\r' {
		b = b[:n-1]
	}
	return b
}
