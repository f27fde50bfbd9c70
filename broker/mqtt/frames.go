package mqtt

import (
	"fmt"
	"io"

	"github.com/eclipse/paho.mqtt.golang/packets"
)

const (
	idleBuffer = 4 << 10  // what a link that hears nothing holds, in bytes
	busyBuffer = 32 << 10 // beyond this only while one packet needs it
	calmReads  = 16       // so many small reads in a row make a link idle

	// maxOther is the longest that the broker may send besides PUBLISH: a
	// SUBACK for the most filters that one SUBSCRIBE may carry.
	maxOther = 2 + maxFilters
)

// frame is one packet, cut out of the stream and not yet decoded.
type frame struct {
	first byte   // type and flags
	body  []byte // all behind the fixed header; valid until the next fill

	// A PUBLISH above the limit was read past: body ends before the payload,
	// which had skipped bytes.
	oversized bool
	skipped   int
}

// frames cuts a stream of bytes into packets. Its buffer grows with what has
// arrived, never with what was announced.
type frames struct {
	conn       io.Reader
	max        int // largest packet that is cut out whole, in bytes
	buf        []byte
	start, end int // what has arrived and was not yet cut lies between
	want       int // size of the packet that begins at start; 0: not known yet
	calm       int // small reads in a row

	skip int   // bytes of payload that are still to be read past
	past frame // to which they belong
}

func newFrames(conn io.Reader, max int) *frames {
	return &frames{conn: conn, max: max, buf: make([]byte, idleBuffer)}
}

// next cuts the next packet out of what has arrived; false means that more has
// to be read first.
func (f *frames) next() (frame, bool, error) {
	if f.past.oversized {
		return f.pass()
	}
	f.want = 0
	b := f.buf[f.start:f.end]
	if len(b) == 0 {
		return frame{}, false, nil
	}
	if err := checkFirst(b[0]); err != nil {
		return frame{}, false, err
	}
	remaining, header, err := length(b[1:])
	if err != nil || header == 0 {
		return frame{}, false, err
	}
	header++
	total := header + remaining
	if b[0]>>4 != packets.Publish {
		if remaining > maxOther {
			return frame{}, false, malformed("a %s of %d bytes", packets.PacketNames[b[0]>>4], total)
		}
	} else if total > f.max {
		return f.passBy(b, header, remaining)
	}
	f.want = total
	if len(b) < total {
		return frame{}, false, nil
	}
	f.start += total
	return frame{first: b[0], body: b[header:total]}, true, nil
}

// passBy begins to read past the PUBLISH in b once all before its payload has
// arrived.
func (f *frames) passBy(b []byte, header, remaining int) (frame, bool, error) {
	f.want = header + 2
	if remaining < 2 {
		return frame{}, false, malformed("a PUBLISH that ends within its topic")
	}
	if len(b) < f.want {
		return frame{}, false, nil
	}
	head := publishHead(b[0], b[header:])
	if head > remaining {
		return frame{}, false, malformed("a PUBLISH that ends within its topic")
	}
	f.want = header + head
	if len(b) < f.want {
		return frame{}, false, nil
	}
	f.skip = remaining - head
	f.past = frame{first: b[0], oversized: true, skipped: f.skip}
	// The body outlives the next fill, so it is a copy.
	f.past.body = append([]byte(nil), b[header:f.want]...)
	f.start += f.want
	return f.pass()
}

// pass reads past a payload, and returns its packet when it is behind us.
func (f *frames) pass() (frame, bool, error) {
	f.want = 0
	n := min(f.skip, f.end-f.start)
	f.start += n
	f.skip -= n
	if f.skip > 0 {
		return frame{}, false, nil
	}
	past := f.past
	f.past = frame{}
	return past, true, nil
}

// fill reads once. It invalidates the bodies of the frames so far.
func (f *frames) fill() error {
	f.makeRoom()
	space := f.buf[f.end:]
	n, err := f.conn.Read(space)
	if n < 0 || n > len(space) {
		return fmt.Errorf("a read of %d bytes into %d", n, len(space))
	}
	f.end += n
	if n < len(f.buf)/8 {
		f.calm++
	} else {
		f.calm = 0
	}
	if n > 0 {
		return nil // an error will come again
	}
	return err
}

// makeRoom moves what is left to the front of a buffer whose size fits what
// the link has to do at present.
func (f *frames) makeRoom() {
	left := f.buf[f.start:f.end]
	size := len(f.buf)
	switch {
	case f.end == len(f.buf):
		size *= 2
	case f.calm >= calmReads && len(left) < idleBuffer:
		size, f.calm = idleBuffer, 0
	}
	size = min(size, max(busyBuffer, f.want))
	size = max(size, idleBuffer, len(left)+1)
	if size != len(f.buf) {
		buf := make([]byte, size)
		copy(buf, left)
		f.buf = buf
	} else if f.start > 0 {
		copy(f.buf, left)
	}
	f.start, f.end = 0, len(left)
}

// arrived is what has been read and not been cut yet.
func (f *frames) arrived() []byte { return f.buf[f.start:f.end] }

// length decodes a remaining length [MQTT-2.2.3] and says how many bytes it
// took: 0 when it is not whole.
func length(b []byte) (n, size int, err error) {
	for i, digit := range b {
		if i == 4 {
			break
		}
		n |= int(digit&0x7f) << (7 * i)
		if digit&0x80 == 0 {
			return n, i + 1, nil
		}
	}
	if len(b) >= 4 {
		return 0, 0, malformed("a length of more than four bytes")
	}
	return 0, 0, nil
}

// publishHead is how much of a PUBLISH lies between its fixed header and its
// payload: topic and packet id. body holds at least the length of the topic.
func publishHead(first byte, body []byte) int {
	n := 2 + int(body[0])<<8 + int(body[1])
	if first&0x06 != 0 {
		n += 2
	}
	return n
}

// malformed is the reason to end a link whose broker does not keep to the
// protocol [MQTT-4.8.0-1].
func malformed(format string, args ...any) error {
	return fmt.Errorf("the broker broke the protocol: it sent "+format, args...)
}
