package actors

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"strings"

	"github.com/mqttdb/mqttdb/persistence"
	"github.com/mqttdb/mqttdb/types"
)

// What a queue remembers of messages that were imported is stored as marks, which
// are written with the messages: one for each piece of 16,384 numbers of a store of
// which there are some. at is when the last of them came, in Unix ms.
//
//	imported/<store>/<piece, hex>  1  at, uvarint  numbers, as in a state
const (
	importedMark    = "imported/"
	importedVersion = 1
	importedPiece   = 1 << 14

	// maxImported is how much the marks may take, in bytes, about. What was
	// imported longest ago is forgotten then, and would be imported again.
	maxImported = 2 << 20
)

// ImportSource is the source of the origin of a message that was imported; its ID
// is the number that it had in that store.
func ImportSource(store string) string { return importSource + store }

const importSource = "import:"

// piece names some of the numbers of a source.
type piece struct {
	source string
	index  uint64
}

// imported is what is known of a piece.
type imported struct {
	numbers persistence.Set
	at      int64
}

// size is about what the mark takes, in bytes.
func (i *imported) size(p piece) int { return len(p.source) + i.numbers.Size() + 40 }

// importing is the part of a queue that knows what was imported. Only the actor uses it.
type importing struct {
	pieces map[piece]*imported
	bytes  int

	touched map[piece]bool     // by the commit that is put together
	here    *persistence.State // as it was when that was begun; nil: nobody has asked
}

// begin is for a new commit.
func (i *importing) begin() {
	clear(i.touched)
	i.here = nil
}

// load makes i what is stored.
func (i *importing) load(q persistence.Queue) (errs []error) {
	*i = importing{pieces: make(map[piece]*imported), touched: make(map[piece]bool)}
	for key, value := range q.Marks(importedMark) {
		p, found, err := readImported(key, value)
		if err != nil {
			errs = append(errs, fmt.Errorf("mark %q: %w", key, err))
			continue
		}
		i.pieces[p] = found
		i.bytes += found.size(p)
	}
	return errs
}

func (p piece) key() string {
	return fmt.Sprintf("%s%s/%x", importedMark, strings.TrimPrefix(p.source, importSource), p.index)
}

func (i *imported) mark(p piece) persistence.Mark {
	b := binary.AppendUvarint([]byte{importedVersion}, uint64(max(0, i.at)))
	return persistence.Mark{Key: p.key(), Value: i.numbers.Append(b)}
}

func readImported(key string, value []byte) (piece, *imported, error) {
	store, index, ok := strings.Cut(strings.TrimPrefix(key, importedMark), "/")
	p := piece{source: ImportSource(store)}
	if _, err := fmt.Sscanf(index, "%x", &p.index); err != nil || !ok || p.key() != key {
		return p, nil, types.ErrCorrupt
	}
	r := markReader{b: value}
	r.version()
	found := &imported{at: int64(r.uint())}
	if r.bad {
		return p, nil, types.ErrCorrupt
	}
	var err error
	found.numbers, err = persistence.ParseSet(r.b)
	return p, found, err
}

// knowsImport says whether a message is here: it was imported before, or it has its
// number from this queue, and is still pending there (S7.6).
func (a *queue) knowsImport(o types.Origin, once types.Once) bool {
	seq := types.Seq(o.ID)
	if found := a.pieces[piece{o.Source, o.ID / importedPiece}]; found != nil && found.numbers.Contains(seq) && !once.New {
		return true
	}
	if strings.TrimPrefix(o.Source, importSource) != hex.EncodeToString(a.store[:]) {
		return false
	}
	if a.here == nil {
		state := a.handle.State()
		a.here = &state
	}
	return seq < a.here.Next && seq > a.here.Floor && !a.here.Done.Contains(seq)
}

// imports notes that a message is part of the commit.
func (a *queue) imports(o types.Origin) {
	p, seq := piece{o.Source, o.ID / importedPiece}, types.Seq(o.ID)
	found := a.pieces[p]
	if found == nil {
		found = &imported{}
		a.pieces[p] = found
		a.bytes += found.size(p)
		a.undo = append(a.undo, func() {
			a.bytes -= found.size(p)
			delete(a.pieces, p)
		})
	}
	a.touched[p] = true
	before := found.size(p)
	if found.numbers.Add(rangeOf(seq)) == 0 {
		return
	}
	a.bytes += found.size(p) - before
	a.undo = append(a.undo, func() {
		a.bytes -= found.size(p)
		found.numbers.Remove(rangeOf(seq))
		a.bytes += found.size(p)
	})
}

// recordImports makes what is imported by a commit part of it.
func (a *queue) recordImports(c *persistence.Commit) {
	if len(a.touched) == 0 {
		return
	}
	now := a.config.Clock.Now().UnixMilli()
	for p := range a.touched {
		found := a.pieces[p]
		found.at = now
		c.Marks = append(c.Marks, found.mark(p))
	}
	for a.bytes > maxImported && len(a.pieces) > len(a.touched) {
		a.forgetImport(c)
	}
	clear(a.touched)
}

// forgetImport forgets the piece that was imported longest ago.
func (a *queue) forgetImport(c *persistence.Commit) {
	var oldest piece
	var least *imported
	for p, found := range a.pieces {
		if !a.touched[p] && (least == nil || found.at < least.at) {
			oldest, least = p, found
		}
	}
	a.bytes -= least.size(oldest)
	delete(a.pieces, oldest)
	a.undo = append(a.undo, func() {
		a.bytes += least.size(oldest)
		a.pieces[oldest] = least
	})
	c.Marks = append(c.Marks, persistence.Mark{Key: oldest.key()})
}
