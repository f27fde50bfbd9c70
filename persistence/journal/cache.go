package journal

import (
	"github.com/mqttdb/mqttdb/persistence"
	"github.com/mqttdb/mqttdb/types"
)

const (
	// cacheBytes is what the cache may hold, in bytes of memory; one batch may
	// be larger.
	cacheBytes = 1 << 20
	// recordBytes is what a record takes beside its payload.
	recordBytes = 160
)

// cache holds the batches that were last written or read, so that a reader that
// follows the writer closely reads nothing from the medium, and one that goes
// through a large batch in steps decodes it once. It holds nothing for a queue
// that is empty, or that is written while nobody reads it.
type cache struct {
	kept   map[uint64]cached
	order  []uint64 // keys, newest last
	bytes  int
	behind bool // readers are so far behind that what is written is of no use
}

type cached struct {
	records []persistence.Record
	bytes   int
}

func (c *cache) get(key uint64) ([]persistence.Record, bool) {
	hit, ok := c.kept[key]
	return hit.records, ok
}

// wrote keeps a batch that was written, unless it would have to be given up
// before somebody reads it.
func (c *cache) wrote(key uint64, records []persistence.Record, size int) {
	if c.behind {
		return
	}
	if c.bytes+size+recordBytes*len(records) > cacheBytes && len(c.order) > 0 {
		*c = cache{behind: true}
		return
	}
	c.put(key, records, size)
}

// caughtUp says that somebody has read all there is.
func (c *cache) caughtUp() { c.behind = false }

// put keeps a batch; size is that of its entry.
func (c *cache) put(key uint64, records []persistence.Record, size int) {
	if c.kept == nil {
		c.kept = make(map[uint64]cached)
	}
	add := cached{records, size + recordBytes*len(records)}
	c.kept[key] = add
	c.order = append(c.order, key)
	c.bytes += add.bytes
	for c.bytes > cacheBytes && len(c.order) > 1 {
		c.drop()
	}
}

// forget gives up the oldest batches, as long as all in them is done: at or
// below floor.
func (c *cache) forget(floor types.Seq) {
	for len(c.order) > 0 {
		records := c.kept[c.order[0]].records
		if n := len(records); n > 0 && records[n-1].Seq > floor {
			return
		}
		c.drop()
	}
}

// drop gives up the oldest batch.
func (c *cache) drop() {
	c.bytes -= c.kept[c.order[0]].bytes
	delete(c.kept, c.order[0])
	if c.order = c.order[1:]; len(c.order) == 0 {
		*c = cache{behind: c.behind}
	}
}
