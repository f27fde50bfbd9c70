package types

// Compaction says what giving back disk space came to.
type Compaction struct {
	Reclaimed uint64 `json:"reclaimed_bytes"` // that were given back
	Rewritten uint64 `json:"rewritten_bytes"` // of live messages that were written again for it
	Disk      uint64 `json:"disk_bytes"`      // what the queues take now
}

// Plus is what c and other came to together.
func (c Compaction) Plus(other Compaction) Compaction {
	return Compaction{c.Reclaimed + other.Reclaimed, c.Rewritten + other.Rewritten, c.Disk + other.Disk}
}
