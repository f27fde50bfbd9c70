package journal

import "context"

// Source is a place that holds, or will hold, the entries of one queue: a
// directory, a browser database, a piece of memory. It is opened in two steps
// so that a store that is not ours to open is left untouched.
type Source interface {
	// Inspect takes the lock and reads what is there; it changes nothing that
	// was stored. It returns an error that wraps types.ErrInUse or
	// types.ErrForeign where those apply, and keeps no lock then.
	Inspect(ctx context.Context) (Contents, error)

	// Start makes the place ready for appending and sets its store record
	// durably. What is appended goes into a new segment, whose number is above
	// that of each that ever existed, as far as is known. Before the first Sync
	// returns, also what Inspect found must be on stable storage: a process that
	// died may have left it to the operating system. Start is called once, after
	// Inspect.
	Start(ctx context.Context, record []byte) (Medium, error)

	// Release gives back the lock if Start is not to be called, or failed.
	Release() error
}

// Medium keeps entries: a key, never used twice, and a value that is written
// whole or not at all. Entries lie in segments, in the order in which they were
// appended; segment numbers rise. Append, Load, Forget, Drop and Close are
// called by one owner; Sync may be called concurrently with all of them.
//
// After Append, Forget, Drop or Sync has returned an error the medium is done
// for: it must be closed and its source opened again.
type Medium interface {
	// Append stores value under key and says in which segment it lies. It is
	// then in the hands of the operating system: it survives the death of the
	// process. value is not used after the return. len(value) is at most
	// MaxValue.
	Append(key uint64, value []byte) (segment uint64, err error)

	// Sync returns when all that was appended before the call is on stable
	// storage, with whatever is needed to find it again.
	Sync() error

	// Load returns the value of key, which is not modified by either side. A
	// value whose bytes are not what was appended gives an error that wraps
	// types.ErrCorrupt, and so does a key that is not there. Other errors may go
	// away; what cannot be read for good (a bad sector) is damage, at the latest
	// when the source is opened again.
	Load(key uint64) ([]byte, error)

	// Forget takes the keys, which are there, out of memory. It is not durable:
	// a later Inspect may report them or not. Their space comes back by Drop.
	Forget(keys []uint64) error

	// Drop removes all segments below the given one, which hold no entry that
	// is still needed, and says how many bytes that gave back. The segment that
	// is being appended to is never removed.
	Drop(below uint64) (reclaimed int64, err error)

	Close() error
}

// Reserver is a Medium that can be full, and keeps a reserve for what makes room
// again.
type Reserver interface {
	// Reserve sees to it that so many bytes can be appended and the reserve is
	// still whole. If they cannot it returns an error that wraps
	// types.ErrDiskFull: nothing was changed, and the medium goes on. Append takes
	// from the reserve what there is no room for otherwise. Same owner as Append.
	Reserve(bytes int) error

	// Spare is how many bytes compaction may append now, of which each time it gives
	// back more: no end of them while there is room for messages beside the reserve, and
	// for so many bytes, else a part of the reserve. Same owner as Append.
	Spare(bytes int) int64

	// Turn has the next Append, of so many bytes, begin another segment, with room from
	// the reserve if there is no other. It says no, and changes nothing, if the reserve
	// is too small for that. Same owner as Append.
	Turn(bytes int) (bool, error)
}

// Prober is a Medium whose place others can take away, and that can be asked about it.
type Prober interface {
	// There returns an error that wraps types.ErrGone if what is stored is not any more
	// where it was: the medium has failed then, as by Append. It costs a look. Same owner
	// as Append.
	There() error

	// Probe says, after the medium has failed, whether its place can be written: see
	// persistence.Prober.
	Probe() error
}

// Quarantiner is a Medium that can keep copies of what is damaged.
type Quarantiner interface {
	// Quarantine keeps a copy of the bytes of an entry that is damaged, or is not
	// ours, as far as that is possible: their segment may be dropped. Same owner as
	// Append.
	Quarantine(segment, key uint64)
}

// MaxValue is the largest value that a Medium must be able to hold, in bytes:
// a message of 7 MiB and what surrounds it. A segment has 8 MiB.
const MaxValue = 8<<20 - 4096

// Contents is what Inspect found.
//
// Should there be several entries under one key, as when somebody copied files,
// the one that Load returns is that whose header names this key and the store of
// the record; of several such the last.
type Contents struct {
	Record   []byte    // the store record, nil if there is none
	Entries  []Entry   // all that seem readable, in the order in which they lie
	Segments []Segment // in order
	Damage   []Damage  // that no owner has taken note of yet; more than that does not matter much
}

// Entry is an entry as found: where it lies and how its value begins.
type Entry struct {
	Key     uint64
	Segment uint64
	Size    int    // of the value, in bytes
	Head    []byte // the first persistence.HeaderSize bytes of the value, fewer if it is shorter
}

// Segment is a piece of the log that is removed as a whole.
type Segment struct {
	ID    uint64
	Bytes int64 // used

	// Ended says that a medium has noted durably that nothing more comes into
	// it: because something synced lies in a later segment, or because Close was
	// called. If the last segment has ended, and not with what a queue writes
	// before Close, then what followed is gone.
	Ended bool
}

// Damage is a stretch of bytes that no entry could be read from, or a segment
// that must have existed and is gone: also the newest one, if there is a sign
// that something was appended behind what is there. Of a gap of several segments
// each is reported, or the first of them with the bytes that all may have had.
type Damage struct {
	Segment       uint64
	Offset, Bytes int64
	// Last says that it looks like the beginning of the last write, the rest of
	// which never came: its end was not written. It then had not been
	// acknowledged. What has its full length but a wrong checksum is not that.
	Last bool
}
