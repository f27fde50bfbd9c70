package archive

import (
	"bytes"
	"io"
)

// Reader reads messages that a Writer has written. It has one user at a time.
type Reader struct{ lines *Lines }

// NewReader reads from r.
func NewReader(r io.Reader) *Reader { return &Reader{NewLines(r, MaxLine)} }

// Next returns the next message. The error is io.EOF at the end; behind a *LineError,
// which wraps types.ErrCorrupt or types.ErrNewerFormat, it goes on with the next line.
func (r *Reader) Next() (Message, error) {
	for {
		b, err := r.lines.Next()
		if err != nil {
			return Message{}, err
		}
		if len(bytes.TrimSpace(b)) == 0 {
			continue
		}
		m, err := decode(b)
		if err != nil {
			return Message{}, &LineError{r.lines.Number(), err}
		}
		return m, nil
	}
}

// Writer writes messages. It has one user at a time.
type Writer struct{ w io.Writer }

// NewWriter writes to w, a line at once.
func NewWriter(w io.Writer) *Writer { return &Writer{w} }

// Write writes a message.
func (w *Writer) Write(m *Message) error {
	b, err := encode(m)
	if err != nil {
		return err
	}
	_, err = w.w.Write(append(b, '\n'))
	return err
}
