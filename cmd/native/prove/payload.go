//go:build !js

package prove

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
	"math/rand/v2"
)

// The payload of every message of a run:
//
//	run     8 bytes  drawn anew for each run
//	kind    1 byte   'm' a message, 'e' an end mark, 't' a trial
//	number  8 bytes  from 0, big endian
//	fill    0 to maxFill bytes that follow from the number
//	crc     4 bytes  CRC32C of all that is before it, big endian
const (
	payloadHead = 8 + 1 + 8
	payloadTail = 4
	maxFill     = 200
)

// kind says what a payload is of.
type kind byte

const (
	numbered kind = 'm' // what the gateway is given
	mark     kind = 'e' // published past it: whatever it sent before is already there
	trial    kind = 't' // published past it, to learn what the broker does
)

type runID [8]byte

var errDamaged = errors.New("not a payload of this run, or changed on its way")

func checksum(b []byte) uint32 { return crc32.Checksum(b, crc32.MakeTable(crc32.Castagnoli)) }

// payload makes the payload with that number.
func payload(run runID, k kind, number int) []byte {
	fill := rand.New(rand.NewPCG(uint64(number), binary.BigEndian.Uint64(run[:])))
	length := fill.IntN(maxFill + 1)
	b := make([]byte, 0, payloadHead+length+payloadTail)
	b = append(b, run[:]...)
	b = append(b, byte(k))
	b = binary.BigEndian.AppendUint64(b, uint64(number))
	for range length {
		b = append(b, byte(fill.Uint32()))
	}
	return binary.BigEndian.AppendUint32(b, checksum(b))
}

// parsePayload takes a payload of this run apart.
func parsePayload(run runID, b []byte) (kind, int, error) {
	body := len(b) - payloadTail
	if body < payloadHead || runID(b[:8]) != run || checksum(b[:body]) != binary.BigEndian.Uint32(b[body:]) {
		return 0, 0, errDamaged
	}
	return kind(b[8]), int(binary.BigEndian.Uint64(b[9:])), nil
}
