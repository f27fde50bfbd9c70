package mqtt

import (
	"bytes"
	"encoding/binary"
	"io"
	"os"
	"runtime"
	"strings"
	"testing"
)

// Arbitrary bytes never make the reader panic, or allocate much more than what
// has arrived, or depend on how the network cut them.
func FuzzRead(f *testing.F) {
	for _, line := range inboundLines(f) {
		f.Add(line, 3)
	}
	f.Fuzz(func(t *testing.T, in []byte, size int) {
		size = 1 + max(0, size)%4096
		if one, cut := parse(in, len(in)+1), parse(in, size); one != cut {
			t.Errorf("in pieces of %d:\n%s\nwhole:\n%s", size, cut, one)
		}
		frames := newFrames(pieces{bytes.NewReader(in), size}, 1<<30)
		for {
			_, ok, err := frames.next()
			if err == nil && !ok {
				err = frames.fill()
			}
			if err != nil {
				break
			}
			if len(frames.buf) > max(busyBuffer, 2*len(in)) {
				t.Fatalf("a buffer of %d bytes for %d that arrived", len(frames.buf), len(in))
			}
		}
	})
}

func inboundLines(f *testing.F) [][]byte {
	text, err := os.ReadFile("testdata/inbound.txt")
	if err != nil {
		f.Fatal(err)
	}
	var lines [][]byte
	for line := range strings.SplitSeq(string(text), "\n") {
		if rest, ok := strings.CutPrefix(line, "< "); ok {
			lines = append(lines, parseBytes(f, rest))
		}
	}
	return lines
}

// An announced length costs nothing, and reading past a payload neither.
func TestAnnouncedLengthsAreNotAllocated(t *testing.T) {
	tests := []struct {
		name string
		max  int
		in   io.Reader
	}{
		{"256 MB announced, 5 bytes sent", 1 << 30, strings.NewReader("\x30\xff\xff\xff\x7f\x00\x01abc")},
		{"64 MB read past", 1000, io.MultiReader(bytes.NewReader(append(binary.AppendUvarint([]byte{0x30}, 64<<20), 0, 1, 'a')), io.LimitReader(zeros{}, 64<<20-3))},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			f := newFrames(test.in, test.max)
			for {
				cut, ok, err := f.next()
				if ok && cut.skipped != 64<<20-3 {
					t.Errorf("%d bytes were read past", cut.skipped)
				}
				if err == nil && !ok {
					err = f.fill()
				}
				if err == io.EOF {
					break
				}
				if err != nil {
					t.Fatal(err)
				}
			}
			runtime.ReadMemStats(&after)
			if n := after.TotalAlloc - before.TotalAlloc; n > 128<<10 {
				t.Errorf("%d bytes were allocated", n)
			}
		})
	}
}

// The buffer follows what the link has to do, down again too.
func TestBufferGrowsAndShrinks(t *testing.T) {
	small := bytes.Repeat([]byte{0x40, 2, 0, 1}, calmReads+2)
	large := append(binary.AppendUvarint([]byte{0x30}, 1<<20), append([]byte{0, 1, 'a'}, make([]byte, 1<<20-3)...)...)
	f := newFrames(io.MultiReader(bytes.NewReader(large), pieces{bytes.NewReader(small), 4}), 2<<20)
	most := 0
	for {
		_, ok, err := f.next()
		if err == nil && !ok {
			most = max(most, len(f.buf))
			err = f.fill()
		}
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if most < 1<<20 || most > 2<<20 || len(f.buf) != idleBuffer {
		t.Errorf("the buffer had at most %d bytes and has %d at the end", most, len(f.buf))
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}
