package mqtt

import (
	"fmt"
	"slices"
	"sort"
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
	var places []place
	for {
		l.mu.Lock()
		if len(l.out) == 0 || l.down {
			spare, closed := l.out, l.closed
			l.writing, l.out, l.places = false, nil, nil
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
		places, l.places = l.places, places[:0]
		last := l.closing
		l.mu.Unlock()

		n, err := l.writeAll(buf, places)
		l.tellWritten(places, n)
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

// tellWritten tells which QoS 0 PUBLISHes were taken, after so many bytes were or
// were withheld.
func (l *link) tellWritten(places []place, bytes int) {
	tag, taken := uint64(0), false
	for i := range places {
		p := &places[i]
		if p.to > bytes {
			break
		}
		if p.qos == 0 {
			tag, taken = max(tag, p.tag), true // what has no tag may stand behind what has
		}
	}
	if taken {
		l.tell(broker.Written{Tag: tag})
	}
}

// writeAll writes b, but for what is not worth it any more just before that, which it
// tells. It returns how far it came.
func (l *link) writeAll(b []byte, places []place) (at int, err error) {
	var withheld []uint64
	for at < len(b) && err == nil {
		start := time.Now()
		end, over := upTo(places, at, min(at+writeChunk, len(b)), start)
		if end > at {
			var n int
			n, err = l.writePart(b[at:end], start)
			at += n
		}
		if over != nil && err == nil {
			at = over.to
			withheld = append(withheld, over.tag)
			if over.qos == 1 {
				l.gathering.underWay.Add(-1)
			}
		}
	}
	if len(withheld) > 0 {
		l.tell(broker.Withheld{Tags: withheld})
	}
	return at, err
}

// upTo returns how much of what lies between at and end is to be written now: up to
// the first PUBLISH that is over, if there is one.
func upTo(places []place, at, end int, now time.Time) (int, *place) {
	first := sort.Search(len(places), func(i int) bool { return places[i].from >= at })
	for i := first; i < len(places) && places[i].from < end; i++ {
		if p := &places[i]; !p.until.IsZero() && !now.Before(p.until) {
			return p.from, p
		}
	}
	return end, nil
}

// writePart writes b, and returns how many bytes of it were taken.
func (l *link) writePart(b []byte, start time.Time) (n int, err error) {
	if err := l.conn.SetWriteDeadline(start.Add(l.writeTimeout)); err != nil {
		return 0, err
	}
	if n, err = l.conn.Write(b); err != nil {
		return n, err
	}
	end := time.Now()
	if end.Sub(start) > waited {
		// The buffers below were full, and the broker has taken from them:
		// it is there, although its answers are behind our own bytes.
		l.keepalive.heard(end)
	}
	l.keepalive.said(end)
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
