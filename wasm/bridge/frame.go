package bridge

import (
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/mqttdb/mqttdb/types"
)

// kind says what a record is.
type kind byte

const (
	publishKind kind = 1
	callKind    kind = 2
	settleKind  kind = 3
	moreKind    kind = 4

	storedKind   kind = 65
	resultKind   kind = 66
	errorKind    kind = 67
	deliveryKind kind = 68
	endedKind    kind = 69
	statusKind   kind = 70
)

const (
	headerSize = 9

	retainFlag    = 1 << 2
	redeliverFlag = 1 << 3
)

var errFrame = errors.New("not a frame of this version")

// record is one request of a page. body lies in its frame.
type record struct {
	kind   kind
	number uint32
	body   []byte
}

// readFrame calls each for the records of a frame, in their order. If the frame is cut
// off or holds what is none, those before are told all the same.
func readFrame(b []byte, each func(record)) error {
	for len(b) > 0 {
		if len(b) < headerSize {
			return fmt.Errorf("%w: %d bytes are left", errFrame, len(b))
		}
		r := record{kind: kind(b[0]), number: binary.LittleEndian.Uint32(b[1:])}
		n := binary.LittleEndian.Uint32(b[5:])
		b = b[headerSize:]
		if uint64(n) > uint64(len(b)) {
			return fmt.Errorf("%w: a record of %d bytes, of which %d are there", errFrame, n, len(b))
		}
		r.body, b = b[:n:n], b[n:]
		if r.kind < publishKind || r.kind > moreKind {
			return fmt.Errorf("%w: kind %d", errFrame, r.kind)
		}
		each(r)
	}
	return nil
}

// readPublish reads the body of a publish record; the payload lies in it.
func readPublish(b []byte) (id uint64, m types.Message, err error) {
	const fixed = 8 + 1 + 4
	if len(b) < fixed {
		return 0, m, fmt.Errorf("%w: a message of %d bytes", errFrame, len(b))
	}
	id, m.QoS, m.Retain = binary.LittleEndian.Uint64(b), types.QoS(b[8]&3), b[8]&retainFlag != 0
	n := binary.LittleEndian.Uint32(b[9:])
	b = b[fixed:]
	if uint64(n) > uint64(len(b)) {
		return 0, m, fmt.Errorf("%w: a topic of %d bytes, of which %d are there", errFrame, n, len(b))
	}
	m.Topic, m.Payload = string(b[:n]), b[n:]
	return id, m, nil
}

// answer is what a page says about a delivery.
type answer byte

const (
	acked answer = iota
	again
	never
)

// readSettle reads the body of a settle record.
func readSettle(b []byte) (subscription, delivery uint32, a answer, err error) {
	if len(b) != 9 || b[8] > byte(never) {
		return 0, 0, 0, fmt.Errorf("%w: an answer of %d bytes", errFrame, len(b))
	}
	return binary.LittleEndian.Uint32(b), binary.LittleEndian.Uint32(b[4:]), answer(b[8]), nil
}

// readMore reads the body of a more record.
func readMore(b []byte) (subscription, count uint32, err error) {
	if len(b) != 8 {
		return 0, 0, fmt.Errorf("%w: a grant of %d bytes", errFrame, len(b))
	}
	return binary.LittleEndian.Uint32(b), binary.LittleEndian.Uint32(b[4:]), nil
}

// appendRecord appends a record with this body.
func appendRecord(b []byte, k kind, number uint32, body []byte) []byte {
	return append(appendHeader(b, k, number, len(body)), body...)
}

func appendHeader(b []byte, k kind, number uint32, size int) []byte {
	b = append(b, byte(k))
	b = binary.LittleEndian.AppendUint32(b, number)
	return binary.LittleEndian.AppendUint32(b, uint32(size))
}

// appendStored appends that a message has got seq.
func appendStored(b []byte, number uint32, seq types.Seq) []byte {
	return binary.LittleEndian.AppendUint64(appendHeader(b, storedKind, number, 8), uint64(seq))
}

// delivery is a message on its way to a page.
type delivery struct {
	subscription uint32
	number       uint32
	seq          types.Seq
	accepted     time.Time
	attempt      uint32
	redelivered  bool
	message      types.Message
}

func (d *delivery) append(b []byte) []byte {
	const fixed = 4 + 8 + 8 + 4 + 1 + 4
	m := &d.message
	b = appendHeader(b, deliveryKind, d.subscription, fixed+len(m.Topic)+len(m.Payload))
	b = binary.LittleEndian.AppendUint32(b, d.number)
	b = binary.LittleEndian.AppendUint64(b, uint64(d.seq))
	b = binary.LittleEndian.AppendUint64(b, uint64(d.accepted.UnixMilli()))
	b = binary.LittleEndian.AppendUint32(b, d.attempt)
	flags := byte(m.QoS)
	if m.Retain {
		flags |= retainFlag
	}
	if d.redelivered {
		flags |= redeliverFlag
	}
	b = append(b, flags)
	b = binary.LittleEndian.AppendUint32(b, uint32(len(m.Topic)))
	b = append(b, m.Topic...)
	return append(b, m.Payload...)
}
