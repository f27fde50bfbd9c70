package journal

import (
	"testing"

	"github.com/mqttdb/mqttdb/persistence"
	"github.com/mqttdb/mqttdb/types"
)

// batchOf is a batch of one message, with its number for a key.
func batchOf(seq uint64) []persistence.Record {
	return []persistence.Record{{Seq: types.Seq(seq)}}
}

const quarter = cacheBytes/4 - recordBytes // what makes a batch take a quarter of the cache

func TestCacheHoldsNothingThatIsDone(t *testing.T) {
	var c cache
	for seq := uint64(1); seq <= 3; seq++ {
		c.wrote(seq, batchOf(seq), quarter)
	}
	c.forget(2)
	if _, ok := c.get(2); ok || len(c.kept) != 1 || c.bytes != cacheBytes/4 {
		t.Errorf("it holds %d batches with %d bytes after all but one were done", len(c.kept), c.bytes)
	}
	if _, ok := c.get(3); !ok {
		t.Error("it has given up what is pending")
	}
	c.forget(3)
	if len(c.kept) != 0 || c.order != nil || c.bytes != 0 {
		t.Errorf("it holds %d batches with %d bytes after all were done", len(c.kept), c.bytes)
	}
}

func TestCacheHoldsNothingThatNobodyReads(t *testing.T) {
	var c cache
	for seq := uint64(1); seq <= 5; seq++ {
		c.wrote(seq, batchOf(seq), quarter)
	}
	if len(c.kept) != 0 || c.bytes != 0 {
		t.Errorf("it holds %d batches with %d bytes, and nobody has read", len(c.kept), c.bytes)
	}
	c.put(1, batchOf(1), quarter) // read
	c.wrote(6, batchOf(6), quarter)
	if _, ok := c.get(6); ok {
		t.Error("it keeps what is written while the reader is far behind")
	}
	c.caughtUp()
	c.wrote(7, batchOf(7), quarter)
	if _, ok := c.get(7); !ok {
		t.Error("it does not keep what is written for a reader that follows")
	}
}

// A batch that is larger than the cache may be kept alone.
func TestCacheKeepsOneLargeBatch(t *testing.T) {
	var c cache
	c.wrote(1, batchOf(1), 2*cacheBytes)
	if _, ok := c.get(1); !ok {
		t.Error("the batch is not there")
	}
}
