package mqtt

import (
	"fmt"
	"slices"
	"time"

	"github.com/mqttdb/mqttdb/broker"
)

const (
	// writeChunk bounds what one write takes, so that each has its deadline and
	// a slow network shows progress. More at once gains nothing.
	writeChunk = 32 << 10

	// keptBuffer is the largest buffer that is kept for the next batch.
	keptBuffer = 64 << 10

	// waited is how long a write must take to count as having waited for the
	// broker to take bytes.
	waited = 100 * time.Millisecond
)

// write is the writer goroutine: it writes all that is there until nothing is.
func (l *link) write() {
	var buf []byte
	var ends []boundary
	for {
		l.mu.Lock()
		if len(l.out) == 0 || l.down {
			spare, closed := l.out, l.closed
			l.writing, l.out, l.ends = false, nil, nil
			l.mu.Unlock()
			l.recycle(buf)
			l.recycle(spare)
			if closed != nil {
				<-closed
				l.tellDown()
			}
			return
		}
		spare := buf[:0]
		if cap(spare) > keptBuffer {
			spare = nil
		}
		buf, l.out = l.out, spare
		ends, l.ends = l.ends, ends[:0]
		last := l.closing
		l.mu.Unlock()

		n, err := l.writeAll(buf)
		l.tellWritten(ends, n)
		if err != nil {
			l.end(fmt.Errorf("write to the broker: %w", err))
			continue
		}
		if last {
			// What is left to do is the broker's: it hangs up after DISCONNECT
			// [MQTT-3.14.4]. If we did, with bytes of its unread, our own last
			// ones could be lost with the connection.
			l.bye.Store(true)
		}
	}
}

// tellWritten tells which QoS 0 PUBLISHes were taken, after so many bytes were.
func (l *link) tellWritten(ends []boundary, bytes int) {
	tag, taken := uint64(0), false
	for _, e := range ends {
		if e.at > bytes {
			break
		}
		tag, taken = max(tag, e.tag), true // what has no tag may stand behind what has
	}
	if taken {
		l.tell(broker.Written{Tag: tag})
	}
}

// writeAll writes b, and returns how many bytes of it were taken.
func (l *link) writeAll(b []byte) (n int, err error) {
	for chunk := range slices.Chunk(b, writeChunk) {
		start := time.Now()
		if err := l.conn.SetWriteDeadline(start.Add(l.writeTimeout)); err != nil {
			return n, err
		}
		taken, err := l.conn.Write(chunk)
		if n += taken; err != nil {
			return n, err
		}
		end := time.Now()
		if end.Sub(start) > waited {
			// The buffers below were full, and the broker has taken from them:
			// it is there, although its answers are behind our own bytes.
			l.keepalive.heard(end)
		}
		l.keepalive.said(end)
	}
	return n, nil
}

// room is l.out with room for size more bytes; mu is held.
func (l *link) room(size int) []byte {
	if l.out == nil {
		if b, ok := l.buffers.Get().(*[]byte); ok {
			l.out = (*b)[:0]
		}
	}
	return slices.Grow(l.out, size)
}

// recycle gives a buffer to whichever link writes next; one that is idle has
// none.
func (l *link) recycle(buf []byte) {
	if cap(buf) > 0 && cap(buf) <= keptBuffer {
		l.buffers.Put(&buf)
	}
}
