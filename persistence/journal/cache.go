package journal

import "github.com/mqttdb/mqttdb/persistence"

const (
	// cacheBytes is what the cache may hold, in bytes of memory; one batch may
	// be larger.
	cacheBytes = 1 << 20
	// recordBytes is what a record takes beside its payload.
	recordBytes = 160
)

// cache holds the batches that were last written or read, so that a reader that
// follows the writer closely reads nothing from the medium, and one that goes
// through a large batch in steps decodes it once.
type cache struct {
	kept  map[uint64]cached
	order []uint64 // keys, newest last
	bytes int
}

type cached struct {
	records []persistence.Record
	bytes   int
}

func (c *cache) get(key uint64) ([]persistence.Record, bool) {
	hit, ok := c.kept[key]
	return hit.records, ok
}

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
		c.bytes -= c.kept[c.order[0]].bytes
		delete(c.kept, c.order[0])
		c.order = c.order[1:]
	}
}
