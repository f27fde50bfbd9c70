//go:build !js

package nutsdb

import "os"

const (
	// How far zeros are written ahead of the last entry, in bytes: as much as the
	// segment holds already, within these bounds.
	leastAhead = 16 << 10
	mostAhead  = allocateStep

	// largestAhead is how long what is written is at most, in bytes, for zeros to be
	// worth it: they are written for nothing.
	largestAhead = 32 << 10
)

// ahead is how far the active segment was written with zeros. What overwrites them is
// made durable without the file system's own records, which note each block that is
// written for the first time, also if it was set aside before: a sync of 16 KiB takes
// half as long, and a small one writes half as much to the disk.
type ahead struct {
	zeroed  int64 // up to here
	useless bool  // here the file system writes nothing in its place, or that failed
}

// before is called when n bytes of f up to end are about to be written, and up to room
// there is space. What fails is found out by that.
func (a *ahead) before(f *os.File, n, end, room int64) {
	if end <= a.zeroed || n > largestAhead || a.useless {
		return
	}
	if a.zeroed == 0 && !inPlace(f) {
		a.useless = true
		return
	}
	upTo := min(end+min(max(end, leastAhead), mostAhead), room)
	for off := end; off < upTo; off += int64(len(blank)) {
		if _, err := f.WriteAt(blank[:min(int64(len(blank)), upTo-off)], off); err != nil {
			a.useless = true
			return
		}
	}
	a.zeroed = max(end, upTo)
}

// blank is never written to.
var blank [64 << 10]byte
