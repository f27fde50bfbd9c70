//go:build !js

package nutsdb

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/gofrs/flock"
	"github.com/mqttdb/mqttdb/types"
)

// lock keeps a directory for one owner, across processes and within one. The
// file stays behind: removing it would let two owners in.
type lock struct{ f *flock.Flock }

// takeLock takes the lock of dir, or returns an error that wraps types.ErrInUse.
func takeLock(dir string) (*lock, error) {
	path := filepath.Join(dir, lockName)
	f := flock.New(path)
	ok, err := f.TryLock()
	if err != nil {
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

// sign says in the lock who holds it. That is not done before the directory is
// known to be ours, so that one which is refused stays as it is. It is only
// told, so it does not matter if it cannot be written.
func (l *lock) sign() {
	_ = os.WriteFile(l.f.Path(), []byte(strconv.Itoa(os.Getpid())+"\n"), 0o600)
}

func (l *lock) release() error { return l.f.Unlock() }
