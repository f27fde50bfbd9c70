//go:build unix

package sidecar

import (
	"io/fs"
	"os"
	"syscall"
)

// ours says whether a file belongs to the user.
func ours(info fs.FileInfo) bool {
	s, ok := info.Sys().(*syscall.Stat_t)
	return ok && int(s.Uid) == os.Geteuid()
}
