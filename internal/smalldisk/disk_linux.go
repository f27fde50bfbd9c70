package smalldisk

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// Disk is a file system of its own, in memory.
type Disk struct {
	Dir string // where it is
	t   testing.TB
}

// Mount makes one of so many bytes. The test must be Alone.
func Mount(t testing.TB, bytes int64) *Disk {
	t.Helper()
	d := &Disk{Dir: filepath.Join(t.TempDir(), "disk"), t: t}
	if err := os.Mkdir(d.Dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount("mqttdb", d.Dir, "tmpfs", 0, fmt.Sprintf("size=%d,mode=700", bytes)); err != nil {
		t.Fatalf("mount a small file system: %v", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(d.Dir, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	return d
}

// Path is a path on the disk.
func (d *Disk) Path(names ...string) string {
	return filepath.Join(append([]string{d.Dir}, names...)...)
}

const filler = "of-others"

// Fill takes all that is free, as another program might.
func (d *Disk) Fill() {
	d.t.Helper()
	f, err := os.OpenFile(d.Path(filler), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		d.t.Fatal(err)
	}
	defer f.Close()
	for size := 1 << 20; size > 0; {
		if _, err := f.Write(make([]byte, size)); errors.Is(err, syscall.ENOSPC) {
			size /= 2
		} else if err != nil {
			d.t.Fatal(err)
		}
	}
}

// Free takes away what Fill has put there.
func (d *Disk) Free() {
	d.t.Helper()
	if err := os.Remove(d.Path(filler)); err != nil && !errors.Is(err, os.ErrNotExist) {
		d.t.Fatal(err)
	}
}

// Available is how many bytes are free.
func (d *Disk) Available() int64 {
	d.t.Helper()
	var s unix.Statfs_t
	if err := unix.Statfs(d.Dir, &s); err != nil {
		d.t.Fatal(err)
	}
	return int64(s.Bavail) * int64(s.Bsize)
}
