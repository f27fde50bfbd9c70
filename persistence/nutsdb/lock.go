//go:build !js

package nutsdb

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/gofrs/flock"
	"github.com/mqttdb/mqttdb/types"
)

// lock keeps a directory for one owner, across processes and within one. The
// file stays behind: removing it would let two owners in.
type lock struct{ f *flock.Flock }

// patience is how long a lock is waited for: whoever only looks has it for a moment.
const patience = 250 * time.Millisecond

// takeLock takes the lock of dir, or returns an error that wraps types.ErrInUse if
// somebody keeps it.
func takeLock(ctx context.Context, dir string) (*lock, error) {
	path := filepath.Join(dir, lockName)
	f := flock.New(path)
	within, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	ok, err := f.TryLockContext(within, patience/25)
	switch {
	case ctx.Err() != nil:
		return nil, errors.Join(ctx.Err(), f.Unlock())
	case err != nil && within.Err() == nil:
		return nil, fmt.Errorf("lock %s: %w", path, err)
	}
	if !ok {
		holder := ""
		if b, err := os.ReadFile(path); err == nil && len(b) > 0 && len(b) < 32 {
			holder = " by process " + strings.TrimSpace(string(b))
		}
		return nil, fmt.Errorf("%w: %s is held%s", types.ErrInUse, dir, holder)
	}
	return &lock{f}, nil
}

// isHeld says whether somebody has the lock of dir.
func isHeld(dir string) (bool, error) {
	f := flock.New(filepath.Join(dir, lockName))
	ok, err := f.TryLock()
	if err != nil {
		return false, fmt.Errorf("lock %s: %w", f.Path(), err)
	}
	return !ok, f.Unlock()
}

// sign says in the lock who holds it. That is not done before the directory is
// known to be ours, so that one which is refused stays as it is. It is only
// told, so it does not matter if it cannot be written.
func (l *lock) sign() {
	_ = os.WriteFile(l.f.Path(), []byte(strconv.Itoa(os.Getpid())+"\n"), 0o600)
}

func (l *lock) release() error { return l.f.Unlock() }
