package journal

import (
	"context"
	"errors"
	"fmt"
	"iter"

	"github.com/mqttdb/mqttdb/persistence"
	"github.com/mqttdb/mqttdb/types"
)

// Place is where a queue lies, to be looked at and not changed.
type Place interface {
	// Inspect is that of a Source, which changes nothing at all here.
	Inspect(ctx context.Context) (Contents, error)

	// Load is that of a Medium.
	Load(key uint64) ([]byte, error)

	Release() error
}

// View is a queue as a start would find it. Nothing that it does changes
// anything. It has one user at a time.
type View struct {
	place    Place
	contents Contents
	found    found
	q        *Queue
}

// Look opens a queue to be looked at. Errors are those of Open.
func Look(ctx context.Context, p Place, o Options) (*View, error) {
	o.setDefaults()
	contents, err := p.Inspect(ctx)
	if err != nil {
		return nil, wrap("look at", o.Name, err)
	}
	f, err := identify(contents)
	if err != nil {
		return nil, wrap("look at", o.Name, errors.Join(err, p.Release()))
	}
	q, err := reconstruct(o, looking{p}, f, contents)
	if err != nil {
		return nil, errors.Join(err, p.Release())
	}
	return &View{place: p, contents: contents, found: f, q: q}, nil
}

// Close lets others open the queue.
func (v *View) Close() error { return v.place.Release() }

// State is the state that a start would find.
func (v *View) State() persistence.State { return v.q.State() }

// Marks is that of a persistence.Queue.
func (v *View) Marks(prefix string) iter.Seq2[string, []byte] { return v.q.Marks(prefix) }

// Missing is how many messages were accepted, have not left, and are in no entry.
func (v *View) Missing() uint64 { return v.q.missing }

// Segments are those of the log, in order.
func (v *View) Segments() []Segment { return v.contents.Segments }

// Damage is what Inspect found.
func (v *View) Damage() []Damage { return v.contents.Damage }

// Unknown are the segments of entries that belong to another store, or that a
// newer version wrote, one for each entry.
func (v *View) Unknown() []uint64 {
	var list []uint64
	for _, e := range v.found.foreign {
		list = append(list, e.segment)
	}
	return list
}

// Found is an entry of the log.
type Found struct {
	persistence.Header
	Segment uint64
	Size    int
	Live    uint32 // messages of it that are pending, or dead letters, or kept
}

// Entries yields the entries of this store, in the order in which they lie.
func (v *View) Entries() iter.Seq[Found] {
	live := make(map[uint64]uint32, len(v.q.index.spans))
	for i := range v.q.index.spans {
		live[v.q.index.spans[i].key] = v.q.index.spans[i].live
	}
	return func(yield func(Found) bool) {
		for _, e := range v.contents.Entries {
			h, err := persistence.DecodeHeader(e.Head)
			if err != nil || h.Store != v.found.store || h.LSN != e.Key {
				continue
			}
			if !yield(Found{h, e.Segment, e.Size, live[e.Key]}) {
				return
			}
		}
	}
}

// Check reads an entry, all of it, and says what is wrong with it.
func (v *View) Check(f Found) error {
	_, err := v.q.decode(f.LSN)
	return err
}

// Kind says which messages of a queue are meant.
type Kind = which

// Kinds of messages.
const (
	Pending Kind = pending
	Dead    Kind = dead // letters
	Sent    Kind = kept // those that are kept
)

// Records yields the messages of a kind, in order. What cannot be read is an error
// that wraps types.ErrCorrupt and names the numbers; then it goes on behind it.
func (v *View) Records(ctx context.Context, kind Kind) iter.Seq2[persistence.Record, error] {
	return func(yield func(persistence.Record, error) bool) {
		now := v.q.o.Now()
		for i := range v.q.index.spans {
			s := &v.q.index.spans[i]
			if kind.of(s) == 0 {
				continue
			}
			if err := ctx.Err(); err != nil {
				yield(persistence.Record{}, err)
				return
			}
			records, err := v.q.load(*s)
			if err != nil {
				if !yield(persistence.Record{}, fmt.Errorf("messages %d to %d: %w", s.first, s.last, err)) {
					return
				}
				continue
			}
			for _, r := range records {
				cause, has := kind.has(&v.q.books, r.Seq)
				if !has || kind == Pending && r.Seq <= v.q.books.floor {
					continue
				}
				v.q.complete(&r, cause, now)
				if !yield(r, nil) {
					return
				}
			}
		}
	}
}

// looking is a medium of which only Load is called.
type looking struct{ Place }

var errLooking = fmt.Errorf("%w: it is only looked at", types.ErrClosed)

func (looking) Append(uint64, []byte) (uint64, error) { return 0, errLooking }
func (looking) Sync() error                           { return errLooking }
func (looking) Forget([]uint64) error                 { return errLooking }
func (looking) Drop(uint64) (int64, error)            { return 0, errLooking }
func (l looking) Close() error                        { return l.Release() }
