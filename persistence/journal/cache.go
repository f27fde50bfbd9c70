package journal

import "github.com/mqttdb/mqttdb/persistence"

// cacheBytes is what the cache may hold, in bytes of entries; one entry may be
// larger.
const cacheBytes = 1 << 20

// cache holds the batches that were last written or read, so that a reader that
// follows the writer closely reads nothing from the medium, and one that goes
// through a large batch in steps decodes it once.
type cache struct {
	kept  []cached // newest last
	bytes int
}

type cached struct {
	key     uint64
	size    int
	records []persistence.Record
}

func (c *cache) get(key uint64) ([]persistence.Record, bool) {
	for i := len(c.kept) - 1; i >= 0; i-- {
		if c.kept[i].key == key {
			return c.kept[i].records, true
		}
	}
	return nil, false
}

func (c *cache) put(key uint64, records []persistence.Record, size int) {
	c.kept = append(c.kept, cached{key, size, records})
	c.bytes += size
	old := 0
	for ; c.bytes > cacheBytes && old < len(c.kept)-1; old++ {
		c.bytes -= c.kept[old].size
		c.kept[old] = cached{}
	}
	c.kept = append(c.kept[:0], c.kept[old:]...)
}
