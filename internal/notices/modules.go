package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// module is a module of others, as `go list` tells of it.
type module struct {
	Path, Version string
	Dir           string // where its source lies on this machine
	Main          bool
}

// program is what we give out: a package that is linked, and for which targets.
type program struct {
	dir     string
	targets []string // GOOS/GOARCH
}

var (
	native = []string{"linux/amd64", "linux/arm64", "linux/arm", "windows/amd64", "darwin/arm64"}

	programs = []program{
		{dir: ".", targets: append(slices.Clone(native), "js/wasm")},
		{dir: "cmd/native", targets: native},
		{dir: "cmd/wasm", targets: []string{"js/wasm"}},
	}
)

// linked lists the modules of others that are part of any program of the
// repository at root, for any target, by path.
func linked(ctx context.Context, root string) ([]module, error) {
	found := map[string]module{}
	for _, p := range programs {
		if _, err := os.Stat(filepath.Join(root, p.dir)); errors.Is(err, os.ErrNotExist) {
			continue
		}
		for _, target := range p.targets {
			if err := list(ctx, root, p.dir, target, found); err != nil {
				return nil, fmt.Errorf("list what %s links for %s: %w", p.dir, target, err)
			}
		}
	}
	var modules []module
	for _, m := range found {
		modules = append(modules, m)
	}
	slices.SortFunc(modules, func(a, b module) int { return strings.Compare(a.Path, b.Path) })
	return modules, nil
}

// list adds the modules that one program links for one target to found.
func list(ctx context.Context, root, dir, target string, found map[string]module) error {
	goos, goarch, _ := strings.Cut(target, "/")
	var message strings.Builder
	cmd := exec.CommandContext(ctx, "go", "list", "-deps", "-json=Module", "./"+dir)
	cmd.Dir = root
	cmd.Env = append(os.Environ(), "GOOS="+goos, "GOARCH="+goarch, "CGO_ENABLED=0")
	cmd.Stderr = &message
	out, err := cmd.Output()
	if err != nil {
		return fmt.Errorf("%w\n%s", err, message.String())
	}
	for packages := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p struct{ Module *module }
		err := packages.Decode(&p)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if p.Module != nil && !p.Module.Main {
			found[p.Module.Path] = *p.Module
		}
	}
}
