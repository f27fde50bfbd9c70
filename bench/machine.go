//go:build linux

package main

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"time"
)

// machine says where and with what was measured.
type machine struct {
	when       time.Time
	commit     string // short; ends in "-dirty" if the tree had changes
	cpu        string
	cores      int
	kernel     string
	filesystem string
	versions   []string
}

func describeMachine(ctx context.Context, dir string) machine {
	output := func(name string, args ...string) string {
		out, _ := exec.CommandContext(ctx, name, args...).Output() // what is not known is left out
		line, _, _ := strings.Cut(strings.TrimSpace(string(out)), "\n")
		return line
	}
	commit := output("git", "describe", "--always", "--dirty", "--exclude=*")
	if commit == "" {
		commit = "unknown"
	}
	mosquitto := "mosquitto unknown"
	if path, err := findMosquitto(); err == nil {
		mosquitto = output(path, "-h")
	}
	return machine{
		when: time.Now(), commit: commit,
		cpu: field("/proc/cpuinfo", "model name"), cores: runtime.NumCPU(),
		kernel: output("uname", "-sr"), filesystem: filesystem(dir),
		versions: []string{runtime.Version(), mosquitto},
	}
}

func (m machine) markdown() string {
	return fmt.Sprintf("Commit %s; %d cores of %s; %s; %s; %s.\n",
		m.commit, m.cores, m.cpu, m.kernel, m.filesystem, strings.Join(m.versions, "; "))
}

// field reads "name : value" out of a file of /proc; "" if it is not there.
func field(file, name string) string {
	f, err := os.Open(file)
	if err != nil {
		return ""
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		if key, value, ok := strings.Cut(lines.Text(), ":"); ok && strings.TrimSpace(key) == name {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

// filesystem is the type and the device of what dir lies on.
func filesystem(dir string) string {
	f, err := os.Open("/proc/mounts")
	if err != nil {
		return "unknown"
	}
	defer f.Close()
	best, found := "", "unknown"
	for lines := bufio.NewScanner(f); lines.Scan(); {
		fields := strings.Fields(lines.Text()) // device, place, type, …
		if len(fields) < 3 || len(fields[1]) < len(best) {
			continue
		}
		if inside, err := filepath.Rel(fields[1], dir); err == nil && !strings.HasPrefix(inside, "..") {
			best, found = fields[1], fields[2]+" on "+fields[0]
		}
	}
	return found
}
