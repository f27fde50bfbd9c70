package protocol

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
)

// Size of a message in bytes.
const Size = 200

// Topics is how many topics the messages go to.
const Topics = 100

// ErrDamaged means that a payload is not what a producer has published.
var ErrDamaged = errors.New("the payload is damaged")

// Topic is where the messages of a producer go.
func Topic(producer int) string { return fmt.Sprintf("bench/%d", producer%Topics) }

// Fill makes b, of Size bytes, a message.
func Fill(b []byte, producer int, number uint64) {
	binary.LittleEndian.PutUint32(b, uint32(producer))
	binary.LittleEndian.PutUint64(b[4:], number)
	for i := 16; i < Size; i++ {
		b[i] = byte(i) + byte(number)
	}
	binary.LittleEndian.PutUint32(b[12:], sum(b))
}

// Parse says whose message b is, and which. Its error is ErrDamaged.
func Parse(b []byte) (producer int, number uint64, err error) {
	if len(b) != Size || binary.LittleEndian.Uint32(b[12:]) != sum(b) {
		return 0, 0, ErrDamaged
	}
	number = binary.LittleEndian.Uint64(b[4:])
	for i := 16; i < Size; i++ {
		if b[i] != byte(i)+byte(number) {
			return 0, 0, ErrDamaged
		}
	}
	return int(binary.LittleEndian.Uint32(b)), number, nil
}

func sum(b []byte) uint32 {
	return crc32.Update(crc32.ChecksumIEEE(b[:12]), crc32.IEEETable, b[16:])
}
