package types

import "time"

// Replay says which of the messages that were sent, and are kept, are to be sent
// again: those that match all that is set.
type Replay struct {
	// Since: those that were sent within this time. When is known nearly: it may be
	// some more, from before, but none less. 0: whenever.
	Since time.Duration

	From   Seq    // those with this number, or a higher one
	Filter string // topics, as they are stored (those the broker sees); "": all

	// Again: also those that are replays themselves. Without it a replay that came
	// to nothing half-way is repeated, and puts nothing back twice.
	Again bool

	// Retain: with their retain flags. Without it they are taken off, for what is
	// pending, and leaves before, may have newer values.
	Retain bool

	DryRun bool // only say how many these are
}

// Replayed says how many messages were put back.
type Replayed struct {
	Count uint64 `json:"replayed"` // of a dry run: that would be
	Left  uint64 `json:"left_out"` // of those that were meant: replays themselves
}
