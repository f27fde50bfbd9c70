package smalldisk

import (
	"os"
	"os/exec"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// inside tells a process that it may mount.
const inside = "MQTTDB_SMALLDISK"

// Alone runs the test again, in a process with mounts of its own, and passes on what
// comes of it; it returns true there, and false here, when all is done. The test
// fails if this user may not have such a process.
func Alone(t *testing.T) bool {
	t.Helper()
	if os.Getenv(inside) != "" {
		if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
			t.Fatalf("keep mounts to ourselves: %v", err)
		}
		return true
	}
	limit := time.Duration(0) // of the process: it says where it hangs before it is killed with this one
	if deadline, ok := t.Deadline(); ok {
		limit = max(time.Until(deadline)-30*time.Second, time.Second)
	}
	c := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^"+t.Name()+"$", "-test.v", "-test.count=1", "-test.timeout="+limit.String())
	c.Env = append(os.Environ(), inside+"=1")
	c.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNS, Pdeathsig: syscall.SIGKILL}
	if os.Geteuid() != 0 {
		c.SysProcAttr.Cloneflags |= syscall.CLONE_NEWUSER
		c.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}}
		c.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}}
	}
	out, err := c.CombinedOutput()
	switch {
	case err == nil:
		t.Logf("%s", out)
	case c.ProcessState == nil:
		t.Fatalf("a process with mounts of its own: %v: this test needs a small file system; allow user namespaces, or run it as root", err)
	default:
		t.Errorf("%v\n%s", err, out)
	}
	return false
}
