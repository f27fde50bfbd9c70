package journal

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"time"

	"github.com/mqttdb/mqttdb/persistence"
	"github.com/mqttdb/mqttdb/types"
)

// Open opens the queue that lies in src, or makes one there. A place that is
// not ours, or that a newer version wrote, is left untouched.
func Open(ctx context.Context, src Source, o Options) (persistence.Queue, error) {
	if o.Logger == nil {
		o.Logger = slog.New(slog.NewTextHandler(io.Discard, nil))
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	contents, err := src.Inspect(ctx)
	if err != nil {
		return nil, wrap("open", o.Name, err)
	}
	found, err := identify(contents)
	if err != nil {
		return nil, wrap("open", o.Name, errors.Join(err, src.Release()))
	}
	medium, err := src.Start(ctx, persistence.EncodeStoreRecord(found.store))
	if err != nil {
		return nil, wrap("open", o.Name, errors.Join(err, src.Release()))
	}
	q := &Queue{o: o, medium: medium}
	q.books.store, q.books.next, q.books.marks = found.store, 1, make(map[string][]byte)
	q.disk.segments = contents.Segments
	if err := q.recover(found, contents.Damage); err != nil {
		return nil, errors.Join(q.wrap("recover", err), medium.Close())
	}
	// The first entry of this life: from here on the queue counts as open, and
	// what recovery found out is not found out again.
	if err := q.writeState(false); err != nil {
		return nil, errors.Join(err, medium.Close())
	}
	if err := q.Sync(ctx); err != nil {
		return nil, errors.Join(err, medium.Close())
	}
	return q, nil
}

// found is what a store turned out to hold.
type found struct {
	store   persistence.StoreID
	batches []head // in the order in which they lie
	states  []head
	deltas  []head
	foreign []uint64 // the segments of entries that are not ours, or that we cannot read
}

// head is the header of an entry and its place.
type head struct {
	persistence.Header
	entry
	size int
}

// identify says whose store this is, and sorts its entries. It refuses one that
// is not ours to open (S7.5): single foreign entries are none of our business,
// a store that has nothing else is somebody's.
func identify(c Contents) (found, error) {
	var f found
	known := false
	if len(c.Record) > 0 {
		id, err := persistence.DecodeStoreRecord(c.Record)
		if errors.Is(err, types.ErrNewerFormat) {
			return f, err
		}
		f.store, known = id, err == nil
	}
	var heads []head
	var newer error
	votes := make(map[persistence.StoreID]int)
	for _, e := range c.Entries {
		h, err := persistence.DecodeHeader(e.Head)
		switch {
		case errors.Is(err, types.ErrNewerFormat):
			newer = err
			f.foreign = append(f.foreign, e.Segment)
		case err != nil || h.LSN != e.Key:
			f.foreign = append(f.foreign, e.Segment)
		default:
			heads = append(heads, head{h, entry{e.Key, e.Segment}, e.Size})
			votes[h.Store]++
		}
	}
	if len(heads) == 0 && newer != nil {
		return f, newer
	}
	if !known {
		most := 0
		for id, n := range votes {
			if n > most {
				f.store, most = id, n
			}
		}
		if most == 0 {
			f.store = newStoreID()
		}
	} else if len(heads) > 0 && votes[f.store] == 0 {
		return f, fmt.Errorf("%w: its files belong to another store than its record says", types.ErrForeign)
	}
	for _, h := range heads {
		if h.Store != f.store {
			f.foreign = append(f.foreign, h.segment)
			continue
		}
		if h.Kind == persistence.KindState {
			f.states = append(f.states, h)
			continue
		}
		if h.Count > 0 {
			f.batches = append(f.batches, h)
		}
		if h.Flags&persistence.FlagDelta != 0 {
			f.deltas = append(f.deltas, h)
		}
	}
	return f, nil
}

func newStoreID() persistence.StoreID {
	var id persistence.StoreID
	rand.Read(id[:]) // never fails
	return id
}
