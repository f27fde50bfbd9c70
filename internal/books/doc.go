// Package books tests that the books of a queue balance, whatever is done to it in
// whatever order: it is published, acknowledged, cleared, expired, dropped, set aside,
// replayed, compacted, killed, damaged and started again, at random, and the test keeps
// books of its own, of what becomes of each single message [S1].
package books
