//go:build !js

package nutsdb

import (
	"bytes"
	"reflect"
	"sync"
	"unsafe"

	"github.com/nutsdb/nutsdb"
)

// buffers are what commits are put together in. The databases of a store share
// them: at any moment few write, while NutsDB keeps a buffer for each database,
// large enough for the largest batch.
type buffers struct{ pool sync.Pool } // of *[]byte

// lending gives a database a buffer for the time of one commit. It belongs to
// the goroutine that owns the database.
type lending struct {
	from *buffers
	to   *bytes.Buffer // NutsDB's; nil: it keeps its own
	lent *[]byte
}

// newLending takes the buffer away from a database that NutsDB v1.1.0 has given
// it. In another version, where it is not to be found like this, that keeps it.
func newLending(from *buffers, db *nutsdb.DB) lending {
	field := reflect.ValueOf(db).Elem().FieldByName("commitBuffer")
	if !field.IsValid() || field.Type() != reflect.TypeFor[*bytes.Buffer]() || field.IsNil() {
		return lending{}
	}
	to := (*bytes.Buffer)(unsafe.Pointer(field.Pointer()))
	*to = bytes.Buffer{}
	return lending{from: from, to: to}
}

// begin lends a buffer with room for size bytes.
func (l *lending) begin(size int) {
	if l.to == nil || size >= commitBuffer { // for more NutsDB takes one of its own
		return
	}
	lent, ok := l.from.pool.Get().(*[]byte)
	if !ok {
		lent = new([]byte)
	}
	if cap(*lent) < size {
		*lent = make([]byte, 0, roomFor(size))
	}
	l.lent = lent
	*l.to = *bytes.NewBuffer((*lent)[:0])
}

// end takes it back.
func (l *lending) end() {
	if l.lent == nil {
		return
	}
	*l.to = bytes.Buffer{}
	l.from.pool.Put(l.lent)
	l.lent = nil
}

// roomFor is the size of a buffer for that many bytes: as few sizes as do.
func roomFor(size int) int {
	room := 4 << 10
	for room < size {
		room *= 2
	}
	return min(room, commitBuffer)
}
