//go:build unix

package prove

import (
	"os"
	"syscall"
)

// sameDisk says whether what lies in both directories is in one file system; of
// what is not there it is not known, and yes.
func sameDisk(a, b string) bool {
	device := func(name string) (uint64, bool) {
		info, err := os.Stat(name)
		if err != nil {
			return 0, false
		}
		s, ok := info.Sys().(*syscall.Stat_t)
		if !ok {
			return 0, false
		}
		return uint64(s.Dev), true
	}
	x, known := device(a)
	y, alsoKnown := device(b)
	return !known || !alsoKnown || x == y
}
