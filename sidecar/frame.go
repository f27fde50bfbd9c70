package sidecar

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strconv"
)

// Type says what a frame is.
type Type uint8

// The frames of a client.
const (
	HelloType      Type = 1
	OpenType       Type = 3
	CloseType      Type = 4
	DetachType     Type = 5
	ConnectType    Type = 6
	DisconnectType Type = 7
	PubType        Type = 8
	SubType        Type = 9
	UnsubType      Type = 10
	MsgAckType     Type = 11
	CreditType     Type = 12
	ClearType      Type = 13
	CompactType    Type = 14
	StopType       Type = 15
)

// The frames of the sidecar.
const (
	WelcomeType Type = 2
	AckType     Type = 32
	NackType    Type = 33
	MsgType     Type = 34
	ResultType  Type = 35
	StatusType  Type = 36
	RoomType    Type = 37
)

// Flags of frames.
const (
	Resume      = 1 << 0 // PUB: the client knows of the NACK that stopped the broker
	Redelivered = 1 << 0 // MSG: it may have been delivered before
)

const (
	// Version of the protocol.
	Version = 1

	// Subprotocol is what the WebSocket handshake names.
	Subprotocol = "mqttdb-sidecar.1"

	// headSize is what comes before the header of a frame, in bytes.
	headSize = 12

	// MaxHeader is the longest header, in bytes.
	MaxHeader = math.MaxUint16
)

var errFrame = errors.New("not a frame of this version")

func (t Type) String() string {
	names := map[Type]string{
		HelloType: "HELLO", WelcomeType: "WELCOME", OpenType: "OPEN", CloseType: "CLOSE", DetachType: "DETACH",
		ConnectType: "CONNECT", DisconnectType: "DISCONNECT", PubType: "PUB", SubType: "SUB", UnsubType: "UNSUB",
		MsgAckType: "MSGACK", CreditType: "CREDIT", ClearType: "CLEAR", CompactType: "COMPACT", StopType: "STOP",
		AckType: "ACK", NackType: "NACK", MsgType: "MSG", ResultType: "RESULT", StatusType: "STATUS", RoomType: "ROOM",
	}
	if name, ok := names[t]; ok {
		return name
	}
	return "type " + strconv.Itoa(int(t))
}

// Frame is one message of the protocol.
type Frame struct {
	Type    Type
	Flags   uint8
	Seq     uint64
	Header  []byte // JSON; empty stands for {}
	Payload []byte
}

// ReadFrame reads a frame; header and payload lie in b. What the header says is not
// looked at.
func ReadFrame(b []byte) (Frame, error) {
	if len(b) < headSize {
		return Frame{}, fmt.Errorf("%w: %d bytes", errFrame, len(b))
	}
	n := headSize + int(binary.BigEndian.Uint16(b[2:]))
	if n > len(b) {
		return Frame{}, fmt.Errorf("%w: a header of %d bytes, of which %d are there", errFrame, n-headSize, len(b)-headSize)
	}
	return Frame{
		Type: Type(b[0]), Flags: b[1], Seq: binary.BigEndian.Uint64(b[4:]),
		Header: b[headSize:n:n], Payload: b[n:],
	}, nil
}

// Append appends the frame to b. It fails if the header is too long.
func (f Frame) Append(b []byte) ([]byte, error) {
	if len(f.Header) > MaxHeader {
		return b, fmt.Errorf("%s: a header of %d bytes, at most %d are possible", f.Type, len(f.Header), MaxHeader)
	}
	b = append(b, byte(f.Type), f.Flags)
	b = binary.BigEndian.AppendUint16(b, uint16(len(f.Header)))
	b = binary.BigEndian.AppendUint64(b, f.Seq)
	b = append(b, f.Header...)
	return append(b, f.Payload...), nil
}

// Size is how many bytes the frame takes.
func (f Frame) Size() int { return headSize + len(f.Header) + len(f.Payload) }

// header reads the header into v.
func (f Frame) header(v any) error {
	if len(f.Header) == 0 {
		return nil
	}
	return f.read(f.Header, v)
}

// value reads a payload that is JSON into v; none leaves v as it is.
func (f Frame) value(v any) error {
	if len(f.Payload) == 0 {
		return nil
	}
	return f.read(f.Payload, v)
}

func (f Frame) read(text []byte, v any) error {
	if err := json.Unmarshal(text, v); err != nil {
		return fmt.Errorf("%w: %s: %s", errFrame, f.Type, plain(err))
	}
	return nil
}

// plain says what is wrong with JSON, and nothing of what is in it: that may be a
// secret.
func plain(err error) string {
	if wrong := new(json.UnmarshalTypeError); errors.As(err, &wrong) {
		return fmt.Sprintf("%q must not be a %s", wrong.Field, wrong.Value)
	}
	if wrong := new(json.SyntaxError); errors.As(err, &wrong) {
		return fmt.Sprintf("no JSON, at byte %d", wrong.Offset)
	}
	return "no JSON of the right form"
}
