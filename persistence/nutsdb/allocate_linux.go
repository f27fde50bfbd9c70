package nutsdb

import (
	"os"

	"golang.org/x/sys/unix"
)

// allocate has the file system set aside the space for the bytes of f from off on,
// which may lie behind its end. An error that wraps errors.ErrUnsupported says that
// this file system cannot.
func allocate(f *os.File, off, n int64) error { return fallocate(f, 0, off, n) }

// punch gives back the space of the bytes of f from off on; they are zeros then.
func punch(f *os.File, off, n int64) error {
	return fallocate(f, unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, off, n)
}

func fallocate(f *os.File, mode uint32, off, n int64) error {
	if n <= 0 {
		return nil
	}
	conn, err := f.SyscallConn()
	if err != nil {
		return err
	}
	var failed error
	err = conn.Control(func(fd uintptr) {
		for {
			if failed = unix.Fallocate(int(fd), mode, off, n); failed != unix.EINTR {
				return
			}
		}
	})
	if err == nil && failed != nil {
		err = &os.PathError{Op: "fallocate", Path: f.Name(), Err: failed}
	}
	return err
}

// inPlace says whether the file system of f writes what is overwritten in its place, as
// far as is known.
func inPlace(f *os.File) bool {
	var s unix.Statfs_t
	if err := unix.Fstatfs(int(f.Fd()), &s); err != nil {
		return false
	}
	switch uint32(s.Type) {
	case unix.BTRFS_SUPER_MAGIC, unix.F2FS_SUPER_MAGIC, bcachefsMagic, zfsMagic, unix.TMPFS_MAGIC:
		return false
	}
	return true
}

// Those that the library does not name.
const (
	bcachefsMagic = 0xca451a4e
	zfsMagic      = 0x2fc12fc1
)

// freeSpace is how many bytes the file system of dir has for us.
func freeSpace(dir string) (int64, error) {
	var s unix.Statfs_t
	if err := unix.Statfs(dir, &s); err != nil {
		return 0, &os.PathError{Op: "statfs", Path: dir, Err: err}
	}
	return int64(s.Bavail) * int64(s.Bsize), nil
}
