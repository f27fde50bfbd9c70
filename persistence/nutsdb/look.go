//go:build !js

package nutsdb

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/mqttdb/mqttdb/persistence/journal"
	"github.com/mqttdb/mqttdb/types"
)

// Look opens the queue in dir to be looked at: not one byte below dir changes.
// Everything is read, also what was sealed long ago, so that View.Damage is all
// that is damaged now. The lock is not kept, so that a gateway can start meanwhile;
// if somebody has it busy is true: then what is found may be a moment old, and the
// last write may look cut off.
func Look(ctx context.Context, dir string) (v *journal.View, busy bool, err error) {
	if !IsQueue(dir) {
		return nil, false, fmt.Errorf("%w: %s holds no queue", types.ErrForeign, dir)
	}
	s := newSource(dir, Options{SegmentSize: SegmentSize})
	s.distrust = true
	p := &viewed{source: s}
	v, err = journal.Look(ctx, p, journal.Options{Name: dir})
	return v, p.busy, err
}

// IsQueue says whether dir looks like the directory of a queue.
func IsQueue(dir string) bool {
	names, err := list(dir)
	return err == nil && (names.store || len(names.data) > 0)
}

// viewed implements journal.Place on the files of a directory.
type viewed struct {
	*source
	busy bool                // somebody has the lock
	at   map[uint64]location // by key
	open map[uint64]*os.File // by segment
}

// location is where the entry of a key lies.
type location struct {
	segment uint64
	offset  int64
}

var _ journal.Place = (*viewed)(nil)

// Inspect implements journal.Place.
func (p *viewed) Inspect(ctx context.Context) (journal.Contents, error) {
	c, err := p.inspect(ctx)
	if err != nil {
		return c, errors.Join(explain("look at", p.dir, err), p.Release())
	}
	p.at, p.open = make(map[uint64]location), make(map[uint64]*os.File)
	for _, seg := range p.segments {
		for _, e := range seg.entries {
			if !e.delete {
				p.at[e.key] = location{seg.id, e.offset}
			}
		}
	}
	return c, nil
}

func (p *viewed) inspect(ctx context.Context) (c journal.Contents, err error) {
	if p.names, err = list(p.dir); err != nil {
		return c, err
	}
	if err := p.names.check(p.dir); err != nil {
		return c, err
	}
	if p.busy, err = p.isHeld(); err != nil {
		return c, err
	}
	if err := p.readStoreFile(&c); err != nil {
		return c, err
	}
	for try := 0; ; try++ {
		p.segments, p.gaps, p.unused = nil, nil, nil
		err := p.readSegments(ctx, c.Record)
		if held, unknown := p.isHeld(); held && unknown == nil {
			p.busy = true // by one who came meanwhile
		}
		if err == nil {
			break
		}
		if !p.busy || !errors.Is(err, fs.ErrNotExist) || try == 5 { // else one was given back meanwhile
			return c, err
		}
		if p.names, err = list(p.dir); err != nil {
			return c, err
		}
	}
	p.report(&c)
	return c, nil
}

// isHeld says whether somebody has the lock.
func (p *viewed) isHeld() (bool, error) {
	if !p.names.lock { // to take it would make it
		return false, nil
	}
	return isHeld(p.dir)
}

// Load implements journal.Place.
func (p *viewed) Load(key uint64) ([]byte, error) {
	at, ok := p.at[key]
	if !ok {
		return nil, fmt.Errorf("%w: there is no entry %d", types.ErrCorrupt, key)
	}
	f := p.open[at.segment]
	if f == nil {
		if len(p.open) >= 8 {
			p.closeFiles()
		}
		var err error
		f, err = os.Open(segmentFile(p.dir, at.segment, dataSuffix))
		if errors.Is(err, fs.ErrNotExist) {
			if held, unknown := p.isHeld(); held && unknown == nil {
				err = fmt.Errorf("segment %d was given back meanwhile: %w", at.segment, types.ErrInUse)
			}
		}
		if err != nil {
			return nil, explain("read", p.dir, err)
		}
		p.open[at.segment] = f
	}
	value, err := readEntry(f, at.offset, key)
	if err != nil {
		return nil, explain("read", p.dir, fmt.Errorf("entry %d in segment %d at byte %d: %w", key, at.segment, at.offset, err))
	}
	return value, nil
}

// readEntry reads the value of the entry of that key.
func readEntry(f *os.File, offset int64, key uint64) ([]byte, error) {
	b := make([]byte, entryHeaderMax)
	n, _ := f.ReadAt(b, offset) // what is missing makes it no entry
	h, ok := parseEntryHeader(b[:n])
	if !ok {
		return nil, fmt.Errorf("%w: there is no entry", types.ErrCorrupt)
	}
	b = make([]byte, h.total())
	if _, err := f.ReadAt(b, offset); err != nil {
		return nil, fmt.Errorf("%w: %v", types.ErrCorrupt, err)
	}
	if e, ok := parseEntry(b, h); !ok || e.key != key {
		return nil, fmt.Errorf("%w: its checksum is wrong", types.ErrCorrupt)
	}
	return b[h.length+keySize:], nil
}

func (p *viewed) closeFiles() {
	for id, f := range p.open {
		f.Close()
		delete(p.open, id)
	}
}

// Release implements journal.Place.
func (p *viewed) Release() error {
	p.closeFiles()
	return p.source.Release()
}
