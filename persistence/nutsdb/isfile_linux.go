package nutsdb

import (
	"errors"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// isFile says whether the file at path is that which info is of. It does not ask for
// times: since Linux 6.13 the next write to a file whose times somebody has looked at
// gives it new ones, and where ext4 has no journal fdatasync writes them as well, at
// the cost of another write to the disk with each sync.
func isFile(path string, info os.FileInfo) (bool, error) {
	known, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return isFileByStat(path, info)
	}
	var s unix.Statx_t
	for {
		err := unix.Statx(unix.AT_FDCWD, path, 0, unix.STATX_INO, &s)
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case errors.Is(err, unix.ENOSYS), errors.Is(err, unix.EPERM): // Linux before 4.11, or a sandbox that does not know it
			return isFileByStat(path, info)
		case err != nil:
			return false, &os.PathError{Op: "statx", Path: path, Err: err}
		}
		return s.Ino == known.Ino && unix.Mkdev(s.Dev_major, s.Dev_minor) == uint64(known.Dev), nil
	}
}
