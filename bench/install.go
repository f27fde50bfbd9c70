//go:build linux

package main

import (
	"context"
	"debug/buildinfo"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// goDriver is for bench/drivers/NAME, whose version is that of a module that it
// is built with, "" for ours. Its go.mod may be behind the one of the repository,
// which it builds on: what is missing there is added to a copy.
func goDriver(name, module string) func(context.Context, *bench) (starter, error) {
	return func(ctx context.Context, b *bench) (starter, error) {
		from, binary := filepath.Join("bench", "drivers"), filepath.Join(b.dir, "driver-"+name)
		for _, suffix := range []string{".mod", ".sum"} {
			if err := copyFile(filepath.Join(b.dir, "drivers"+suffix), filepath.Join(from, "go"+suffix)); err != nil {
				return starter{}, fmt.Errorf("run this from the root of the repository: %w", err)
			}
		}
		cmd := exec.CommandContext(ctx, "go", "build", "-mod=mod", "-modfile="+filepath.Join(b.dir, "drivers.mod"),
			"-buildvcs=false", "-trimpath", "-o", binary, "./"+name)
		cmd.Dir = from
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := cmd.CombinedOutput(); err != nil {
			return starter{}, fmt.Errorf("build the driver: %w: %s", err, lines(string(out), 1))
		}
		if module == "" {
			return driverStarter(b.report.machine.commit, binary), nil
		}
		return driverStarter(versionOf(binary, module), binary), nil
	}
}

// versionOf is that of a module in a program.
func versionOf(binary, module string) string {
	info, err := buildinfo.ReadFile(binary)
	if err != nil {
		return ""
	}
	for _, m := range info.Deps {
		if m.Path == module {
			return m.Version
		}
	}
	return ""
}

// nodeDriver is for bench/drivers/node/SCRIPT, whose version is that of packages
// that npm installs for it as package-lock.json there says.
func nodeDriver(script string, packages ...string) func(context.Context, *bench) (starter, error) {
	return func(ctx context.Context, b *bench) (starter, error) {
		dir, err := installNode(ctx)
		if err != nil {
			return starter{}, err
		}
		node, err := exec.LookPath("node")
		if err != nil {
			return starter{}, errors.New("node is not there: scripts/setup.sh installs it")
		}
		out, _ := exec.CommandContext(ctx, node, "--version").Output() // what is not known is left out
		versions := []string{"node " + firstLine(out)}
		for _, name := range packages {
			var about struct{ Version string }
			text, err := os.ReadFile(filepath.Join(dir, "node_modules", name, "package.json"))
			if err == nil && json.Unmarshal(text, &about) == nil {
				versions = append(versions, name+" "+about.Version)
			}
		}
		return driverStarter(strings.Join(versions, ", "), node, filepath.Join(dir, script)), nil
	}
}

func driverStarter(version string, command ...string) starter {
	return starter{version: version, start: func(ctx context.Context, dir, broker string) (product, error) {
		return startDriver(ctx, command, dir, broker)
	}}
}

// installNode copies bench/drivers/node into the cache and installs there what
// its lock names, unless that is done. It returns the absolute path of the copy.
func installNode(ctx context.Context) (string, error) {
	from := filepath.Join("bench", "drivers", "node")
	to, err := filepath.Abs(filepath.Join(".cache", "bench-node"))
	if err != nil {
		return "", err
	}
	if err := os.MkdirAll(to, 0o755); err != nil {
		return "", err
	}
	lock := filepath.Join(to, "package-lock.json")
	installed, _ := os.ReadFile(filepath.Join(to, "node_modules", ".bench-lock")) // none: nothing is installed
	files, err := os.ReadDir(from)
	if err != nil {
		return "", err
	}
	for _, f := range files {
		if f.IsDir() {
			continue
		}
		if err := copyFile(filepath.Join(to, f.Name()), filepath.Join(from, f.Name())); err != nil {
			return "", err
		}
	}
	wanted, err := os.ReadFile(lock)
	if err != nil {
		return "", err
	}
	if string(wanted) == string(installed) {
		return to, nil
	}
	cmd := exec.CommandContext(ctx, "npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund")
	cmd.Dir = to
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("npm ci: %w: %s", err, lines(string(out), 2))
	}
	return to, os.WriteFile(filepath.Join(to, "node_modules", ".bench-lock"), wanted, 0o644)
}

func copyFile(to, from string) error {
	text, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	return os.WriteFile(to, text, 0o644)
}

func firstLine(text []byte) string { return lines(string(text), 1) }

// lines is the beginning of a text.
func lines(text string, most int) string {
	all := strings.Split(strings.TrimSpace(text), "\n")
	return strings.Join(all[:min(most, len(all))], " ")
}
