package sidecar

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// maxPath is the longest path of a Unix socket that every system takes, in bytes.
const maxPath = 100

// minToken is the shortest token, in bytes.
const minToken = 16

// Address is where clients find a sidecar.
type Address struct {
	net.Listener
	Name    string // unix:PATH or tcp:HOST:PORT
	private string // a directory to remove in the end; "": none
}

// Listen opens what --listen names: "" for a Unix socket in a directory of its own,
// unix:PATH, or tcp.
func Listen(where string) (*Address, error) {
	switch path, unix := strings.CutPrefix(where, "unix:"); {
	case where == "tcp":
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, fmt.Errorf("listen on loopback: %w", err)
		}
		return &Address{Listener: l, Name: "tcp:" + l.Addr().String()}, nil
	case unix:
		return listenUnix(path)
	case where == "":
		return listenPrivate()
	}
	return nil, fmt.Errorf("--listen is unix:PATH or tcp, not %q", where)
}

// privateName begins the names of directories that listenPrivate makes.
const privateName = "mqttdb-"

// staleAge is how old what a sidecar has left behind is, at least: one that is just
// being made looks like it.
const staleAge = time.Minute

// sweep removes what sidecars that were killed have left in base: directories of ours
// that hold a socket which nobody listens at, and nothing else. What it cannot remove
// stays.
func sweep(base string) {
	list, err := filepath.Glob(filepath.Join(base, privateName+"*"))
	if err != nil {
		return
	}
	for _, dir := range list {
		info, err := os.Lstat(dir)
		if err != nil || !info.IsDir() || !ours(info) || info.Mode().Perm() != 0o700 || time.Since(info.ModTime()) < staleAge {
			continue
		}
		path := filepath.Join(dir, "s")
		if entries, err := os.ReadDir(dir); err != nil || len(entries) != 1 || entries[0].Name() != "s" {
			continue
		}
		if removeStale(path) == nil {
			_ = os.Remove(dir)
		}
	}
}

// listenPrivate makes a socket in a directory of its own, whose path is short.
func listenPrivate() (*Address, error) {
	var errs []error
	for _, base := range []string{os.Getenv("XDG_RUNTIME_DIR"), os.TempDir(), "/tmp"} {
		if base == "" || len(base) > maxPath-len("/mqttdb-1234567890/s") {
			continue
		}
		sweep(base)
		dir, err := os.MkdirTemp(base, privateName) // 0700
		if err != nil {
			errs = append(errs, err)
			continue
		}
		a, err := listenUnix(filepath.Join(dir, "s"))
		if err == nil {
			a.private = dir
			return a, nil
		}
		errs = append(errs, err, os.Remove(dir))
	}
	return nil, fmt.Errorf("no place for a socket: %w; use --listen unix:PATH or --listen tcp", errors.Join(errs...))
}

func listenUnix(path string) (*Address, error) {
	if len(path) > maxPath || !filepath.IsAbs(path) {
		return nil, fmt.Errorf("the socket %s: an absolute path of at most %d bytes is possible", path, maxPath)
	}
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make a directory for the socket: %w", err)
	}
	if err := checkPrivate(dir); err != nil {
		return nil, err
	}
	if err := removeStale(path); err != nil {
		return nil, err
	}
	l, err := net.Listen("unix", path)
	if err != nil {
		return nil, fmt.Errorf("listen on %s: %w", path, err)
	}
	if err := os.Chmod(path, 0o600); err != nil {
		return nil, errors.Join(fmt.Errorf("protect the socket: %w", err), l.Close())
	}
	return &Address{Listener: l, Name: "unix:" + path}, nil
}

// checkPrivate says whether only we can get at what is in dir.
func checkPrivate(dir string) error {
	info, err := os.Stat(dir)
	if err != nil {
		return fmt.Errorf("the directory of the socket: %w", err)
	}
	if !info.IsDir() || info.Mode().Perm()&0o077 != 0 || !ours(info) {
		return fmt.Errorf("the directory %s is not private: it has to be yours, with mode 0700", dir)
	}
	return nil
}

// removeStale removes a socket that nobody listens at any more.
func removeStale(path string) error {
	info, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	} else if err != nil {
		return fmt.Errorf("the socket: %w", err)
	}
	if info.Mode().Type() != fs.ModeSocket {
		return fmt.Errorf("%s is there, and is no socket", path)
	}
	if c, err := net.Dial("unix", path); err == nil {
		_ = c.Close()
		return fmt.Errorf("another process listens at %s", path)
	}
	if err := os.Remove(path); err != nil {
		return fmt.Errorf("remove a stale socket: %w", err)
	}
	return nil
}

// Close implements net.Listener, and removes what Listen has made.
func (a *Address) Close() error {
	err := a.Listener.Close()
	if errors.Is(err, net.ErrClosed) {
		err = nil
	}
	if a.private != "" {
		if e := os.Remove(a.private); !errors.Is(e, fs.ErrNotExist) {
			err = errors.Join(err, e)
		}
	}
	return err
}

// CheckToken says whether a token is good enough.
func CheckToken(token string) error {
	if len(token) < minToken {
		return fmt.Errorf("the first line of standard input must be a token of at least %d bytes", minToken)
	}
	return nil
}
