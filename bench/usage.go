//go:build linux

package main

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// selfCPU is the processor time that this process has used.
func selfCPU() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// clockTick is the unit of /proc/PID/stat: USER_HZ is 100 on every Linux.
const clockTick = 10 * time.Millisecond

// processCPU is the processor time that another process has used.
func processCPU(pid int) (time.Duration, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, err
	}
	_, rest, _ := strings.Cut(string(b), ") ") // behind the name
	fields := strings.Fields(rest)
	if len(fields) < 13 {
		return 0, fmt.Errorf("/proc/%d/stat has %d fields", pid, len(fields))
	}
	user, err1 := strconv.ParseInt(fields[11], 10, 64)
	system, err2 := strconv.ParseInt(fields[12], 10, 64)
	if err1 != nil || err2 != nil {
		return 0, fmt.Errorf("/proc/%d/stat: %q and %q are no times", pid, fields[11], fields[12])
	}
	return time.Duration(user+system) * clockTick, nil
}

// memory is what a process has in memory: field is VmRSS or, for the most that
// it ever was, VmHWM. In bytes.
func memory(pid int, name string) (float64, error) {
	text := field(fmt.Sprintf("/proc/%d/status", pid), name)
	kb, err := strconv.ParseFloat(strings.TrimSuffix(text, " kB"), 64)
	if err != nil {
		return 0, fmt.Errorf("%s of process %d: %w", name, pid, err)
	}
	return kb * 1024, nil
}

// forgetPeak lets VmHWM of a process begin anew. Where the system cannot do that,
// it stays what it was.
func forgetPeak(pid int) {
	_ = os.WriteFile(fmt.Sprintf("/proc/%d/clear_refs", pid), []byte("5"), 0)
}

// flushes is how often the device that dir lies on was told to make what it has
// been given durable, by whomever: an fsync is one, and those at the same moment
// may be one together. ok is false if that is not known.
func flushes(dir string) (n int64, ok bool) {
	var s syscall.Stat_t
	if syscall.Stat(dir, &s) != nil {
		return 0, false
	}
	device := filepath.Join("/sys/dev/block", fmt.Sprintf("%d:%d", unix.Major(s.Dev), unix.Minor(s.Dev)))
	if _, err := os.Stat(filepath.Join(device, "partition")); err == nil {
		device += "/.." // only the whole disk counts them
	}
	text, err := os.ReadFile(device + "/stat")
	fields := strings.Fields(string(text))
	if err != nil || len(fields) < 16 {
		return 0, false
	}
	n, err = strconv.ParseInt(fields[15], 10, 64)
	return n, err == nil
}

// diskUsage is what the files below dir really take, in bytes: as du counts,
// blocks and not lengths.
func diskUsage(dir string) (float64, error) {
	var blocks int64
	err := filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		var s syscall.Stat_t
		if err := syscall.Lstat(path, &s); err != nil {
			return err
		}
		blocks += s.Blocks
		return nil
	})
	return float64(blocks * 512), err
}
