package types

import "time"

// Latencies are told how long messages take in a queue. They are called by
// actors: they must be quick and must not block. nil: nobody is told.
type Latencies struct {
	// Committed gets, for each commit, the time from when the first of its messages
	// came to the queue until its publishers are answered, the longest that one of
	// them has waited.
	Committed func(time.Duration)

	// Delivered gets, for each message that the broker has, the time since it was
	// accepted, also over restarts.
	Delivered func(time.Duration)
}
