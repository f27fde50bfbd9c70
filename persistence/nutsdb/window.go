//go:build !js

package nutsdb

import (
	"bytes"
	"io"
)

const (
	readAhead = 256 << 10 // bytes read at once
	behind    = 128       // bytes kept before the place that is read
	block     = 4096      // bytes given up when they cannot be read
)

// window reads a file piece by piece, so that a scan needs memory for one entry
// and no more. Blocks that the disk does not give are zeros, and noted.
type window struct {
	r          io.ReaderAt
	size       int64
	buf        []byte // the bytes from off on
	off        int64
	unreadable []extent
}

// extent is a run of bytes in a file.
type extent struct{ offset, bytes int64 }

// end is the offset of the first byte behind x.
func (x extent) end() int64 { return x.offset + x.bytes }

// reset begins anew with another file; the memory is used again.
func (w *window) reset(r io.ReaderAt, size int64) {
	*w = window{r: r, size: size, buf: w.buf[:0]}
}

// at returns n bytes from off on, fewer at the end of the file. They are good
// until the next call.
func (w *window) at(off int64, n int) []byte {
	end := min(off+int64(n), w.size)
	if off >= end {
		return nil
	}
	if off < w.off || end > w.off+int64(len(w.buf)) {
		w.fill(max(0, off-behind), max(end, min(off+readAhead, w.size)))
	}
	return w.buf[off-w.off : end-w.off]
}

// fill makes buf hold the bytes from off to end.
func (w *window) fill(off, end int64) {
	var kept []byte
	if had := off - w.off; had >= 0 && had < int64(len(w.buf)) {
		kept = w.buf[had:]
	}
	n := int(end - off)
	next := w.buf[:0]
	if cap(next) < n {
		next = make([]byte, 0, n)
	}
	next = append(next, kept[:min(len(kept), n)]...) // moves towards the front, if it is the same memory
	from := len(next)
	next = next[:n]
	w.read(next[from:], off+int64(from))
	w.buf, w.off = next, off
}

// read fills b from off on.
func (w *window) read(b []byte, off int64) {
	n, err := w.r.ReadAt(b, off)
	if n == len(b) {
		return
	}
	if err == io.EOF { // shorter than it was: somebody truncates it now
		clear(b[n:])
		return
	}
	for at := 0; at < len(b); at += block {
		piece := b[at:min(at+block, len(b))]
		if n, err := w.r.ReadAt(piece, off+int64(at)); n < len(piece) {
			clear(piece[n:])
			if err != io.EOF {
				w.unreadable = append(w.unreadable, extent{off + int64(at), int64(len(piece))})
			}
		}
	}
}

// data returns the offset of the first byte from off on that is not zero, or
// the size of the file.
func (w *window) data(off int64) int64 {
	for off < w.size {
		b := w.at(off, readAhead)
		if !zeros(b) {
			return off + int64(len(b)-len(bytes.TrimLeft(b, "\x00")))
		}
		off += int64(len(b))
	}
	return w.size
}

// dataEnd returns the offset behind the last byte from off on that is not zero,
// or off.
func (w *window) dataEnd(off int64) int64 {
	end := off
	for off < w.size {
		b := w.at(off, readAhead)
		if !zeros(b) {
			end = off + int64(len(bytes.TrimRight(b, "\x00")))
		}
		off += int64(len(b))
	}
	return end
}

// zeros says whether b is nothing but zeros: if the first byte is one, and each
// is like the one before.
func zeros(b []byte) bool { return len(b) == 0 || b[0] == 0 && bytes.Equal(b[1:], b[:len(b)-1]) }
