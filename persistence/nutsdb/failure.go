//go:build !js

package nutsdb

import (
	"errors"
	"io/fs"
	"syscall"

	"github.com/mqttdb/mqttdb/types"
)

const errNotDirectory = syscall.ENOTDIR

// explain makes a *types.StoreError of err, with what an operator can do about
// it. Errors that say so themselves are left as they are.
func explain(op, dir string, err error) error {
	var told *types.StoreError
	if err == nil || errors.As(err, &told) ||
		errors.Is(err, types.ErrForeign) || errors.Is(err, types.ErrNewerFormat) || errors.Is(err, types.ErrClosed) {
		return err
	}
	said := hint(dir, err)
	if errors.Is(err, syscall.EROFS) {
		err = readOnlyError{err}
	}
	return &types.StoreError{Op: op, Queue: dir, Err: err, Hint: said}
}

// readOnlyError makes a read-only file system what it is to a caller: a matter
// of permission.
type readOnlyError struct{ error }

// Is implements errors.Is.
func (readOnlyError) Is(target error) bool { return target == fs.ErrPermission }

// Unwrap implements errors.Unwrap.
func (e readOnlyError) Unwrap() error { return e.error }

func hint(dir string, err error) string {
	switch {
	case errors.Is(err, types.ErrGone):
		return "put " + dir + " back as it was; if it is gone for good it is begun anew when nothing more can be sent of what was in it"
	case errors.Is(err, types.ErrInUse):
		return "stop that process, or set another data_dir"
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return "disk full: free space on it"
	case errors.Is(err, syscall.EROFS):
		return "the file system is read-only: make " + dir + " writable"
	case errors.Is(err, fs.ErrPermission):
		return "make " + dir + " writable for the user that runs mqttdb"
	case errors.Is(err, syscall.ENOTDIR):
		return "a file is where a directory should be: move it away or choose another data_dir"
	case errors.Is(err, syscall.EMFILE), errors.Is(err, syscall.ENFILE):
		return "too many open files: raise the limit (ulimit -n)"
	case errors.Is(err, syscall.EIO):
		return "the disk reports errors: check it, and back up " + dir
	}
	return ""
}
