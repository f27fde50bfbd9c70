package smalldisk

import (
	"testing"

	"golang.org/x/sys/unix"
)

// ReadOnly makes what lies below dir read-only for whoever opens it from now on, as
// a file system is that the kernel has remounted after an error, and returns what
// ends that. The test must be Alone.
func ReadOnly(t testing.TB, dir string) (end func()) {
	t.Helper()
	if err := unix.Mount(dir, dir, "", unix.MS_BIND, ""); err != nil {
		t.Fatalf("mount %s over itself: %v", dir, err)
	}
	if err := unix.Mount("", dir, "", unix.MS_BIND|unix.MS_REMOUNT|unix.MS_RDONLY, ""); err != nil {
		t.Fatalf("make %s read-only: %v", dir, err)
	}
	ended := false
	end = func() {
		t.Helper()
		if ended {
			return
		}
		ended = true
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			t.Errorf("make %s writable again: %v", dir, err)
		}
	}
	t.Cleanup(end)
	return end
}
