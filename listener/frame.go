package listener

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"sync/atomic"
	"time"

	"github.com/mochi-mqtt/server/v2/packets"
)

const (
	// readBuffer is what one client's reader keeps for bytes that arrived.
	readBuffer = 16 << 10

	// maxControl bounds every packet but PUBLISH. A SUBSCRIBE is the longest
	// that makes sense; CONNECT has a bound of its own, because whoever sends it
	// is not known yet.
	maxControl = 1 << 20
	maxConnect = 512 << 10

	// growStep is what is allocated for a long packet before its bytes arrive.
	growStep = 64 << 10
)

// The versions of MQTT, as protocol level [MQTT-3.1.2.2].
const (
	mqtt31  = 3
	mqtt311 = 4
	mqtt5   = 5
)

// errStopped is what a read returns after stop.
var errStopped = errors.New("reading was stopped")

// header is the fixed header of a packet [MQTT-2.2].
type header struct {
	kind   byte // a packet type of package packets
	flags  byte
	length int // of what follows, in bytes
}

// packetReader reads the packets of one client, from one goroutine. Nothing in
// it allocates by an announced length.
type packetReader struct {
	conn       net.Conn
	buf        *bufio.Reader
	version    byte
	maxPayload int
	topics     topicCache

	packets, bytes uint64 // read, and not counted yet

	// patience is how long a packet may take to begin and to arrive; 0: for
	// ever. A long payload gets it anew for every growStep bytes.
	patience time.Duration
	stopped  atomic.Bool
}

func newPacketReader(conn net.Conn, maxPayload int) *packetReader {
	return &packetReader{
		conn: conn, buf: bufio.NewReaderSize(conn, readBuffer),
		maxPayload: maxPayload, topics: topicCache{},
	}
}

// stop makes the read under way, and every later one, return errStopped. It may
// be called concurrently.
func (r *packetReader) stop() {
	r.stopped.Store(true)
	r.conn.SetReadDeadline(time.Unix(1, 0))
}

// wait sets the deadline for what is read next. The flag is looked at after the
// deadline was set and raised before stop sets its own, so that stop is never
// overwritten.
func (r *packetReader) wait() error {
	if r.patience > 0 {
		r.conn.SetReadDeadline(time.Now().Add(r.patience))
	}
	if r.stopped.Load() {
		return errStopped
	}
	return nil
}

// ready says whether the next packet is here, so that reading it does not wait.
func (r *packetReader) ready() bool {
	b, _ := r.buf.Peek(min(r.buf.Buffered(), 5))
	length := 0
	for i := 1; i < len(b); i++ {
		length |= int(b[i]&127) << (7 * (i - 1))
		if b[i] < 128 {
			return r.buf.Buffered() >= 1+i+length
		}
	}
	return len(b) == 5 // which is malformed
}

// next reads a fixed header and checks what can be checked of it.
func (r *packetReader) next() (header, error) {
	if r.buf.Buffered() == 0 {
		if err := r.wait(); err != nil {
			return header{}, err
		}
	}
	first, err := r.buf.ReadByte()
	if err != nil {
		return header{}, r.readError(err)
	}
	h := header{kind: first >> 4, flags: first & 15}
	for shift := 0; ; shift += 7 {
		if shift > 21 {
			return h, malformed("the remaining length has more than four bytes") // [MQTT-2.2.3]
		}
		b, err := r.buf.ReadByte()
		if err != nil {
			return h, r.partError(err)
		}
		h.length |= int(b&127) << shift
		if b < 128 {
			break
		}
	}
	r.packets++
	r.bytes += uint64(2 + h.length) // or a few more, of a long one
	return h, r.check(h)
}

// countPackets is the number of packets in b, which we have encoded.
func countPackets(b []byte) (n uint64) {
	for len(b) > 1 {
		length, size := binary.Uvarint(b[1:]) // the same encoding
		b = b[min(1+size+int(length), len(b)):]
		n++
	}
	return n
}

// check says whether a client may send a packet with this header [MQTT-2.2.2].
func (r *packetReader) check(h header) error {
	want := byte(0)
	switch h.kind {
	case packets.Publish:
		if h.flags&6 == 6 {
			return malformed("QoS 3") // [MQTT-3.3.1-4]
		}
		if h.flags&6 == 0 && h.flags&8 != 0 {
			return malformed("DUP at QoS 0") // [MQTT-3.3.1-2]
		}
		return nil
	case packets.Pubrel, packets.Subscribe, packets.Unsubscribe:
		want = 2
		if r.version == mqtt31 {
			h.flags &^= 8 // 3.1 has a DUP flag here
		}
	case packets.Connect, packets.Puback, packets.Pubrec, packets.Pubcomp, packets.Pingreq, packets.Disconnect:
	default:
		return &protocolError{code: codeProtocolError, text: fmt.Sprintf("packet type %d is not for clients to send", h.kind)}
	}
	if h.flags != want {
		return malformed("reserved flags") // [MQTT-2.2.2-2]
	}
	limit := maxControl
	if h.kind == packets.Connect {
		limit = maxConnect
	}
	if h.length > limit {
		return &protocolError{code: codePacketTooLarge, text: fmt.Sprintf("a packet of type %d with %d bytes, at most %d are allowed", h.kind, h.length, limit)}
	}
	return nil
}

// body reads the n bytes after a fixed header. They are valid until the next
// read.
func (r *packetReader) body(n int) ([]byte, error) {
	if n <= readBuffer {
		b, err := r.buf.Peek(n)
		if err != nil {
			return nil, r.partError(err)
		}
		r.buf.Discard(n)
		return b, nil
	}
	return r.read(n)
}

// read reads n bytes into a slice of their own, which grows as they arrive.
func (r *packetReader) read(n int) ([]byte, error) {
	b := make([]byte, 0, min(n, growStep))
	for {
		if len(b) == cap(b) {
			grown := make([]byte, len(b), min(n, 2*cap(b)))
			copy(grown, b)
			b = grown
			if err := r.wait(); err != nil {
				return nil, err
			}
		}
		step := b[len(b):min(cap(b), len(b)+growStep)]
		if _, err := io.ReadFull(r.buf, step); err != nil {
			return nil, r.partError(err)
		}
		b = b[:len(b)+len(step)]
		if len(b) == n {
			return b, nil
		}
		if err := r.wait(); err != nil {
			return nil, err
		}
	}
}

// skip reads past n bytes.
func (r *packetReader) skip(n int) error {
	for n > 0 {
		step, err := r.buf.Discard(min(n, growStep))
		if err != nil {
			return r.partError(err)
		}
		n -= step
		if n > 0 {
			if err := r.wait(); err != nil {
				return err
			}
		}
	}
	return nil
}

// uint16 reads two bytes of a packet.
func (r *packetReader) uint16() (uint16, error) {
	b, err := r.buf.Peek(2)
	if err != nil {
		return 0, r.partError(err)
	}
	v := binary.BigEndian.Uint16(b)
	r.buf.Discard(2)
	return v, nil
}

// readError names the reason for which a read ended between two packets.
func (r *packetReader) readError(err error) error {
	if r.stopped.Load() {
		return errStopped
	}
	var timeout net.Error
	if errors.As(err, &timeout) && timeout.Timeout() {
		return errSilent
	}
	return err
}

// partError is readError inside a packet.
func (r *packetReader) partError(err error) error {
	if err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	return r.readError(err)
}
