//go:build !js

package nutsdb

import (
	"reflect"
	"unsafe"

	"github.com/nutsdb/nutsdb"
)

// keyIndex is NutsDB's index of our bucket, in memory.
type keyIndex interface {
	Delete(key []byte) bool
}

// indexOf finds the index of a database, so that keys can be taken out of memory
// without a word on the disk: NutsDB v1.1.0 itself writes an entry for each, which
// costs more than most of what it is about, and the space of the latter comes back
// with its segment all the same. nil: in another version it is not to be found like
// this.
func indexOf(db *nutsdb.DB) keyIndex {
	index := reflect.ValueOf(db.Index)
	if index.Kind() != reflect.Pointer || index.IsNil() || index.Elem().Kind() != reflect.Struct {
		return nil
	}
	trees := index.Elem().FieldByName("bTree")
	if trees.Kind() != reflect.Struct || trees.NumField() == 0 {
		return nil
	}
	byType := trees.Field(0) // what it embeds
	if byType.Kind() != reflect.Pointer || byType.IsNil() || byType.Elem().Kind() != reflect.Struct {
		return nil
	}
	list := byType.Elem().FieldByName("idx")
	if list.Kind() != reflect.Map || list.Type().Key().Kind() != reflect.Uint64 {
		return nil
	}
	list = reflect.NewAt(list.Type(), unsafe.Pointer(list.UnsafeAddr())).Elem() // may be used, though not exported
	tree := list.MapIndex(reflect.ValueOf(uint64(bucketID)).Convert(list.Type().Key()))
	if !tree.IsValid() {
		return nil
	}
	found, _ := tree.Interface().(keyIndex)
	return found
}

// forget takes keys out of memory; they need not be there.
func (d *database) forget(keys []uint64) (err error) {
	defer recoverInto(&err)
	index := indexOf(d.db)
	if index == nil || d.writes {
		for _, key := range keys {
			if err := d.delete(key); err != nil {
				return err
			}
		}
		return nil
	}
	return d.db.Update(func(*nutsdb.Tx) (err error) { // under NutsDB's lock
		defer recoverInto(&err)
		for _, key := range keys {
			index.Delete(keyBytes(key))
		}
		return nil
	})
}
