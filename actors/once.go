package actors

import (
	"time"

	"github.com/mqttdb/mqttdb/persistence"
	"github.com/mqttdb/mqttdb/types"
)

// RepeatCompletion is a Completion of an EnqueueOnce that wants to know which of
// its entries were there before.
type RepeatCompletion interface {
	Completion

	// Repeated is called before Stored, unless that is told an error, if there are
	// such entries: with their indices, in order. They have no number in the
	// queue: what Stored is told is the number of the first of the others, or 0 if
	// there are none, and these follow without gaps.
	Repeated(indices []int)
}

// Attendance says which sources of rising numbers are there.
type Attendance struct {
	Sources []string
	Expiry  time.Duration // whoever has been gone for so long is forgotten
}

// onceRequest is what a request has whose entries may be repeats.
type onceRequest struct {
	once     []types.Once
	repeated []int // indices of entries that were
}

// rule says how a repeat of an entry is told.
func (o *onceRequest) of(entry int) types.Once {
	if entry < len(o.once) {
		return o.once[entry]
	}
	return types.Once{}
}

// deciding is the part of a queue that tells repeats from new messages, at the
// moment at which they are to be written: against what is written already, and
// what is in the same commit.
type deciding struct {
	origins *origins
	skipped []skipped // by the commit that is put together
	undo    []func()  // takes back what it has changed in origins, last one first

	keyed string // source that was asked for last, and its key
	key   SourceKey
}

// skipped is an entry that is a repeat: indices of the request among those that
// wait, and of the entry in it.
type skipped struct{ request, entry int }

// begin is for a new commit.
func (d *deciding) begin() {
	clear(d.undo)
	d.skipped, d.undo = d.skipped[:0], d.undo[:0]
}

// keyOf is KeyOf, which takes a while, once for many of one source.
func (d *deciding) keyOf(source string) SourceKey {
	if source != d.keyed {
		d.keyed, d.key = source, KeyOf(source)
	}
	return d.key
}

// takeBack is for a commit that was not written.
func (d *deciding) takeBack() {
	if len(d.undo) == 0 {
		return
	}
	d.origins.mu.Lock()
	for i := len(d.undo) - 1; i >= 0; i-- {
		d.undo[i]()
	}
	d.origins.mu.Unlock()
	clear(d.undo)
	d.undo = d.undo[:0]
}

// wroteOnce is for a request, number i of those that wait, that was written or a
// part of it: n entries at most, from seq first on. It returns how many.
func (a *queue) wroteOnce(r *request, i int, first types.Seq, n int) (taken int) {
	for ; r.written < len(r.Entries); r.written++ {
		if len(a.skipped) > 0 && a.skipped[0] == (skipped{i, r.written}) {
			a.skipped = a.skipped[1:]
			r.once.repeated = append(r.once.repeated, r.written)
			continue
		}
		if taken == n {
			break
		}
		if taken++; r.first == 0 {
			r.first = first
		}
	}
	return taken
}

// tellRepeated tells whoever waits for r which of its entries were there before.
func (r *request) tellRepeated() {
	if c, ok := r.Done.(RepeatCompletion); ok && len(r.once.repeated) > 0 {
		c.Repeated(r.once.repeated)
	}
}

// isRepeat says whether what e holds is stored already, or in this commit.
func (a *queue) isRepeat(e *persistence.Entry, once types.Once) bool {
	switch once.Rule {
	case types.Rising:
		h, known := a.origins.heights[e.Origin.Source]
		return known && e.Origin.ID <= h.highest
	case types.Imported:
		return a.knowsImport(e.Origin, once)
	case types.Open:
		open, there := a.origins.open[a.keyOf(e.Origin.Source)][uint16(e.Origin.ID)]
		switch {
		case !there, once.New, open.hash != once.Hash:
			return false
		case open.old && a.config.SyncWithin != 0:
			// Where closing an exchange is not synced it may be one that was closed
			// before the power went, and used again.
			return once.Dup
		}
		return true
	}
	return false
}

// remember notes where an entry came from, and makes that part of the commit.
func (a *queue) remember(c *persistence.Commit, e *persistence.Entry, once types.Once) {
	switch once.Rule {
	case types.Rising:
		a.changeHeight(c, e.Origin.Source, height{highest: e.Origin.ID}, true)
		a.limitSources(c, e.Origin.Source)
	case types.Imported:
		a.imports(e.Origin)
	case types.Open:
		source := a.keyOf(e.Origin.Source)
		a.changeOpen(c, source, uint16(e.Origin.ID), openOrigin{hash: once.Hash, since: e.Enqueued.UnixMilli()}, true)
		a.limitOpen(c, source)
	}
}

// limitOpen forgets what has been open for longest when that is too much: should
// it be repeated it is stored twice.
func (a *queue) limitOpen(c *persistence.Commit, source SourceKey) {
	var over []exchange
	if ids := a.origins.open[source]; len(ids) > a.config.MaxOpen {
		over = a.origins.oldest(a.config.MaxOpen, ids)
		for i := range over {
			over[i].source = source
		}
	}
	if a.origins.count-len(over) > maxOpenOrigins {
		over = append(over, a.origins.oldest(maxOpenOrigins*15/16, nil)...) // not one by one: that takes long
	}
	for _, e := range over {
		a.changeOpen(c, e.source, e.id, openOrigin{}, false)
	}
}

// limitSources forgets a source that is gone, or if there is none any other, when
// there are too many.
func (a *queue) limitSources(c *persistence.Commit, but string) {
	if len(a.origins.heights) <= maxSources {
		return
	}
	least, found := "", height{}
	for source, h := range a.origins.heights {
		if source != but && (least == "" || h.gone > 0 && (found.gone == 0 || h.gone < found.gone)) {
			least, found = source, h
		}
	}
	a.changeHeight(c, least, height{}, false)
}

// changeOpen opens an exchange, or closes it if it is open.
func (a *queue) changeOpen(c *persistence.Commit, source SourceKey, id uint16, open openOrigin, there bool) {
	o := a.origins
	before, was := o.open[source][id]
	switch {
	case there:
		c.Marks = append(c.Marks, open.mark(source, id))
	case was:
		c.Marks = append(c.Marks, persistence.Mark{Key: openKey(source, id)})
	default:
		return
	}
	a.undo = append(a.undo, func() { o.setOpen(source, id, before, was) })
	o.mu.Lock()
	o.setOpen(source, id, open, there)
	o.mu.Unlock()
}

// changeHeight notes how far a source is, or forgets it.
func (a *queue) changeHeight(c *persistence.Commit, source string, h height, there bool) {
	o := a.origins
	before, was := o.heights[source]
	if there {
		c.Marks = append(c.Marks, h.mark(source))
	} else {
		c.Marks = append(c.Marks, persistence.Mark{Key: SourceMark + source})
	}
	a.undo = append(a.undo, func() { o.setHeight(source, before, was) })
	o.setHeight(source, h, there)
}

// joinOrigins makes what n says of origins part of c.
func (a *queue) joinOrigins(c *persistence.Commit, n *Note) {
	if n == nil || len(n.Closed) == 0 && len(n.Ended) == 0 && n.Attendance == nil {
		return
	}
	for _, origin := range n.Closed {
		a.changeOpen(c, a.keyOf(origin.Source), uint16(origin.ID), openOrigin{}, false)
	}
	for _, source := range n.Ended {
		a.endSource(c, source)
	}
	if n.Attendance != nil {
		a.attend(c, n.Attendance)
	}
}

// endSource closes all exchanges of a source.
func (a *queue) endSource(c *persistence.Commit, source SourceKey) {
	o := a.origins
	ids := o.open[source]
	for id := range ids {
		a.changeOpen(c, source, id, openOrigin{}, false)
	}
	if ids == nil {
		return
	}
	a.undo = append(a.undo, func() { o.open[source] = ids })
	o.mu.Lock()
	delete(o.open, source)
	o.mu.Unlock()
}

// attend notes which sources are there, and forgets those that have been gone for
// long.
func (a *queue) attend(c *persistence.Commit, m *Attendance) {
	there := make(map[string]bool, len(m.Sources))
	for _, source := range m.Sources {
		there[source] = true
	}
	now := a.config.Clock.Now()
	for source, h := range a.origins.heights {
		long, anew := h.longGone(now, m.Expiry)
		switch {
		case there[source]:
			if h.gone != 0 {
				a.changeHeight(c, source, height{highest: h.highest}, true)
			}
		case h.gone == 0 || anew:
			a.changeHeight(c, source, height{h.highest, max(1, now.UnixMilli())}, true)
		case long:
			a.changeHeight(c, source, height{}, false)
		}
	}
}
