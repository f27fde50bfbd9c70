//go:build !js

package nutsdb

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"sync"

	"github.com/mqttdb/mqttdb/types"
)

// sealer writes the manifests of segments that are on stable storage, in a
// goroutine of its own that lives while there is something to do: nothing waits
// for a manifest, which only makes the next opening quicker.
type sealer struct {
	dir    string
	logger *slog.Logger

	mu      sync.Mutex      // guards what follows
	held    map[uint64]bool // segments whose files are being made or removed
	freed   sync.Cond       // that one is not any more; of mu
	queue   []sealing
	running bool
	done    sync.WaitGroup
}

// sealing is a segment to be sealed; its content is read if it is not known.
type sealing struct {
	seal
	known   bool
	written int64 // so many bytes at the beginning, by us: nothing has to be looked for behind them. 0: not known
}

func newSealer(dir string, logger *slog.Logger) *sealer {
	s := &sealer{dir: dir, logger: logger, held: make(map[uint64]bool)}
	s.freed.L = &s.mu
	return s
}

// hold waits until nobody makes or removes files of a segment, and keeps others from
// that until release is called.
func (s *sealer) hold(id uint64) (release func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for s.held[id] {
		s.freed.Wait()
	}
	s.held[id] = true
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.held, id)
		s.freed.Broadcast()
	}
}

// add lets the sealer seal what is given.
func (s *sealer) add(what ...sealing) {
	if len(what) == 0 {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.queue = append(s.queue, what...)
	if !s.running {
		s.running = true
		s.done.Go(s.run)
	}
}

// now seals what is given before it returns.
func (s *sealer) now(what sealing) {
	var w window
	s.try(&w, what)
}

// wait returns when all is sealed. No add may come after it.
func (s *sealer) wait() { s.done.Wait() }

func (s *sealer) run() {
	var w window // its memory serves all, and goes with the goroutine
	for {
		s.mu.Lock()
		if len(s.queue) == 0 {
			s.running = false
			s.mu.Unlock()
			return
		}
		next := s.queue[0]
		s.queue[0] = sealing{}
		s.queue = s.queue[1:]
		s.mu.Unlock()
		s.try(&w, next)
	}
}

// try seals a segment; it does not matter much if that fails.
func (s *sealer) try(w *window, what sealing) {
	if err := s.seal(w, what); err != nil {
		s.logger.Warn("a segment could not be sealed: opening will take longer", "dir", s.dir, "segment", what.id, "error", err)
	}
}

// seal writes the manifest of a segment and, if its content was not known, its
// hint. One that does not turn out intact gets none, so that opening tells.
func (s *sealer) seal(w *window, what sealing) error {
	defer s.hold(what.id)()
	f, err := os.Open(segmentFile(s.dir, what.id, dataSuffix))
	if errors.Is(err, fs.ErrNotExist) {
		return nil // dropped by now
	} else if err != nil {
		return err
	}
	defer f.Close()
	if !what.known {
		info, err := f.Stat()
		if err != nil {
			return err
		}
		what.length = info.Size()
		w.reset(f, min(cmp.Or(what.written, what.length), what.length))
		what.content = scan(w, nil)
		if n := len(what.damage); n > 0 {
			return fmt.Errorf("%w: %d places right after it was written", types.ErrCorrupt, n)
		}
		if err := ensure(segmentFile(s.dir, what.id, hintSuffix), hintFile(what.id, what.entries)); err != nil {
			return err
		}
	}
	return os.WriteFile(segmentFile(s.dir, what.id, sealSuffix), what.encode(), 0o600)
}
