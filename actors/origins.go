package actors

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/mqttdb/mqttdb/persistence"
	"github.com/mqttdb/mqttdb/types"
)

// What a queue remembers of where its messages came from is stored as marks,
// which are written with the messages. They begin with the version of what
// follows; numbers are uvarints, but for hash, which is 8 bytes.
//
//	origin/<client key, 16 bytes><packet id, 2 bytes>  1  hash  since: Unix ms
//	source/<source>                                    1  highest  gone: Unix ms, or 0
const (
	OpenMark   = "origin/" // begins the keys of exchanges that are open
	SourceMark = "source/"

	originVersion = 1
)

const (
	// defaultMaxOpen is how many exchanges of one client may be open.
	defaultMaxOpen = 1000

	// maxOpenOrigins is how many exchanges may be open in one queue: they are part
	// of its state, 48 bytes each.
	maxOpenOrigins = 32 << 10

	// maxSources is how many sources may have a highest number.
	maxSources = 10_000
)

// SourceKey stands for a source of origins, however long its name is.
type SourceKey [16]byte

// KeyOf returns the key of a source.
func KeyOf(source string) SourceKey {
	sum := sha256.Sum256([]byte(source))
	return SourceKey(sum[:])
}

// openOrigin is an exchange at QoS 2 whose message is stored.
type openOrigin struct {
	hash  uint64
	since int64 // Unix ms
	old   bool  // it is from before the store was opened
}

// height is how far a source has come.
type height struct {
	highest uint64
	gone    int64 // Unix ms since when the source is not there, as far as is known; 0: it is
}

// origins is what a queue knows of where its messages came from, as it is
// written. Only the actor changes it, or reads it without the lock.
type origins struct {
	mu      sync.RWMutex
	open    map[SourceKey]map[uint16]openOrigin // a source stays until it was ended
	heights map[string]height
	count   int // of open
}

// Knows says whether exchanges of a source may be open in the queue: they are, or
// have been, or it is not known yet what is stored.
func (q *Queue) Knows(source SourceKey) bool {
	if q.Unread() {
		return true
	}
	q.origins.mu.RLock()
	defer q.origins.mu.RUnlock()
	return q.origins.open[source] != nil
}

// IsOpen says whether a message of that source and packet id is stored whose
// exchange was not closed.
func (q *Queue) IsOpen(source SourceKey, id uint16) bool {
	q.origins.mu.RLock()
	defer q.origins.mu.RUnlock()
	_, open := q.origins.open[source][id]
	return open
}

// OpenSources lists the sources that have, or have had, exchanges open.
func (q *Queue) OpenSources() []SourceKey {
	q.origins.mu.RLock()
	defer q.origins.mu.RUnlock()
	list := make([]SourceKey, 0, len(q.origins.open))
	for key := range q.origins.open {
		list = append(list, key)
	}
	return list
}

// load makes o what is stored. Marks that cannot be read are returned as errors,
// and not there: what they were about may be stored twice.
func (o *origins) load(q persistence.Queue) (errs []error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.open, o.heights, o.count = make(map[SourceKey]map[uint16]openOrigin), make(map[string]height), 0
	for key, value := range q.Marks(OpenMark) {
		source, id, open, err := readOpen(key, value)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		o.setOpen(source, id, open, true)
	}
	for key, value := range q.Marks(SourceMark) {
		h, err := readHeight(value)
		if err != nil {
			errs = append(errs, fmt.Errorf("mark %q: %w", key, err))
			continue
		}
		o.heights[strings.TrimPrefix(key, SourceMark)] = h
	}
	return errs
}

// setOpen notes an exchange, or that it is not there.
func (o *origins) setOpen(source SourceKey, id uint16, open openOrigin, there bool) {
	ids := o.open[source]
	if ids == nil {
		if !there {
			return
		}
		ids = make(map[uint16]openOrigin)
		o.open[source] = ids
	}
	o.count -= len(ids)
	if there {
		ids[id] = open
	} else {
		delete(ids, id)
	}
	o.count += len(ids)
}

// setHeight notes how far a source is, or that it is not known.
func (o *origins) setHeight(source string, h height, there bool) {
	if there {
		o.heights[source] = h
	} else {
		delete(o.heights, source)
	}
}

// oldest returns the exchanges that have been open for longest, of one client or,
// if it is nil, of all: as many as are too many, and some more of all.
func (o *origins) oldest(most int, only map[uint16]openOrigin) []exchange {
	var list []exchange
	collect := func(source SourceKey, ids map[uint16]openOrigin) {
		for id, open := range ids {
			list = append(list, exchange{source, id, open.since})
		}
	}
	if only != nil {
		collect(SourceKey{}, only)
	} else {
		for source, ids := range o.open {
			collect(source, ids)
		}
	}
	slices.SortFunc(list, func(a, b exchange) int { return int(a.since - b.since) })
	return list[:max(0, len(list)-most)]
}

// exchange names what is open.
type exchange struct {
	source SourceKey
	id     uint16
	since  int64
}

func openKey(source SourceKey, id uint16) string {
	b := make([]byte, 0, len(OpenMark)+len(source)+2)
	b = append(append(b, OpenMark...), source[:]...)
	return string(binary.BigEndian.AppendUint16(b, id))
}

func (o openOrigin) mark(source SourceKey, id uint16) persistence.Mark {
	b := make([]byte, 0, 16)
	b = binary.BigEndian.AppendUint64(append(b, originVersion), o.hash)
	return persistence.Mark{Key: openKey(source, id), Value: binary.AppendUvarint(b, uint64(max(0, o.since)))}
}

func readOpen(key string, value []byte) (source SourceKey, id uint16, open openOrigin, err error) {
	rest := key[len(OpenMark):]
	r := markReader{b: value}
	r.version()
	hash := r.bytes(8)
	since := r.uint()
	if r.bad || len(r.b) > 0 || len(rest) != len(source)+2 {
		return source, 0, open, fmt.Errorf("mark %q: %w", key, types.ErrCorrupt)
	}
	copy(source[:], rest)
	id = binary.BigEndian.Uint16([]byte(rest[len(source):]))
	return source, id, openOrigin{binary.BigEndian.Uint64(hash), int64(since), true}, nil
}

func (h height) mark(source string) persistence.Mark {
	b := binary.AppendUvarint([]byte{originVersion}, h.highest)
	return persistence.Mark{Key: SourceMark + source, Value: binary.AppendUvarint(b, uint64(h.gone))}
}

func readHeight(value []byte) (height, error) {
	r := markReader{b: value}
	r.version()
	h := height{r.uint(), int64(r.uint())}
	if r.bad || len(r.b) > 0 {
		return height{}, types.ErrCorrupt
	}
	return h, nil
}

// longGone says whether a source that is gone has been for as long as expiry, and
// anew whether that is to be counted from now on, because a clock was wrong.
func (h height) longGone(now time.Time, expiry time.Duration) (long, anew bool) {
	away := now.Sub(time.UnixMilli(h.gone))
	if away < 0 || away > max(longestAbsence, 2*expiry) {
		return false, true
	}
	return away >= expiry, false
}
