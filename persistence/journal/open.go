package journal

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"time"

	"github.com/mqttdb/mqttdb/persistence"
	"github.com/mqttdb/mqttdb/types"
)

// maxKey is above all keys that a queue comes to use.
const maxKey = 1 << 62

// Open opens the queue that lies in src, or makes one there. A place that is
// not ours, or that a newer version wrote, is left untouched.
func Open(ctx context.Context, src Source, o Options) (persistence.Queue, error) {
	o.setDefaults()
	contents, err := src.Inspect(ctx)
	if err != nil {
		return nil, wrap("open", o.Name, err)
	}
	found, err := identify(contents)
	if err != nil {
		return nil, wrap("open", o.Name, errors.Join(err, src.Release()))
	}
	contents.Entries = nil // they take as much memory as all that follows
	medium, err := src.Start(ctx, persistence.EncodeStoreRecord(found.store))
	if err != nil {
		return nil, wrap("open", o.Name, errors.Join(err, src.Release()))
	}
	q, err := reconstruct(o, medium, found, contents)
	if err != nil {
		return nil, errors.Join(err, medium.Close())
	}
	// The first entries of this life: from here on the queue counts as open, and
	// what recovery found out is not found out again.
	if err := q.begin(ctx); err != nil {
		return nil, errors.Join(err, medium.Close())
	}
	return q, nil
}

func (o *Options) setDefaults() {
	if o.Logger == nil {
		o.Logger = slog.New(slog.NewTextHandler(io.Discard, nil))
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	o.SegmentSize = cmp.Or(o.SegmentSize, segmentBytes)
}

// reconstruct makes the queue of what was found; it writes nothing.
func reconstruct(o Options, medium Medium, f found, c Contents) (*Queue, error) {
	q := &Queue{o: o, medium: medium}
	q.books.store, q.books.next, q.books.marks = f.store, 1, make(map[string][]byte)
	q.disk.segments = c.Segments
	if err := q.recover(f, c); err != nil {
		return nil, q.wrap("recover", err)
	}
	return q, nil
}

// found is what a store turned out to hold.
type found struct {
	store   persistence.StoreID
	batches []head // in the order in which they lie
	states  []head
	deltas  []head
	foreign []entry // that are not ours, or that we cannot read
	lsn     uint64  // the highest of ours
	key     uint64  // the highest of all, among those that may come up
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
	heads := make([]head, 0, len(c.Entries))
	var newer error
	votes := make(map[persistence.StoreID]int)
	for _, e := range c.Entries {
		if e.Key < maxKey {
			f.key = max(f.key, e.Key)
		}
		h, err := persistence.DecodeHeader(e.Head)
		switch {
		case errors.Is(err, types.ErrNewerFormat):
			newer = err
			f.foreign = append(f.foreign, entry{key: e.Key, segment: e.Segment})
		case err != nil || h.LSN != e.Key:
			f.foreign = append(f.foreign, entry{key: e.Key, segment: e.Segment})
		default:
			delta := h.Flags&persistence.FlagDelta != 0
			heads = append(heads, head{h, entry{e.Key, e.Segment, delta}, e.Size})
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
	f.sort(heads)
	return f, nil
}

// sort puts each entry of ours where it belongs, in order of LSN. Of two of the
// same LSN, as after somebody copied a file, the place of the first counts, so
// that a copy does not look as if it had been written after others. The memory
// of heads is used for the batches.
func (f *found) sort(heads []head) {
	slices.SortStableFunc(heads, func(a, b head) int { return cmp.Compare(a.LSN, b.LSN) })
	f.batches = heads[:0] // a long backlog has many
	for _, h := range heads {
		switch {
		case h.Store != f.store:
			f.foreign = append(f.foreign, h.entry)
			continue
		case h.LSN == f.lsn:
			continue
		case h.Kind == persistence.KindState:
			f.states = append(f.states, h)
		case h.delta:
			f.deltas = append(f.deltas, h)
		}
		if h.Count > 0 {
			f.batches = append(f.batches, h)
		}
		f.lsn = h.LSN
	}
}

func newStoreID() persistence.StoreID {
	var id persistence.StoreID
	rand.Read(id[:]) // never fails
	return id
}
