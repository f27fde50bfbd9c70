package journal

import (
	"context"
	"time"
)

const (
	// verifyBytes is how much of the log each pass of compaction looks at, in bytes,
	// and verifyEvery how often all of it is, at most: what goes bad on a disk is found
	// while older copies of it are still there, and before it is wanted.
	verifyBytes = 4 << 20
	verifyEvery = time.Hour
)

// verification is how far the log was looked at in the background.
type verification struct {
	due   bool      // in this pass
	left  int64     // of what this pass looks at, in bytes
	index int       // of the span that comes next, nearly: others come and go
	again time.Time // when it begins anew
}

// verify reads some of the log, as much as one call may, and gives up what is
// damaged. It says whether this pass has more to look at.
func (q *Queue) verify(ctx context.Context, maxBytes int64) (more bool, err error) {
	v := &q.verification
	if !v.due {
		v.due, v.left = true, verifyBytes
		if v.index == 0 && q.o.Now().Before(v.again) {
			v.left = 0
		} else if v.index == 0 {
			v.again = q.o.Now().Add(verifyEvery)
			if err := q.verifyStates(); err != nil {
				return false, err
			}
		}
	}
	budget := min(maxBytes, v.left)
	for entries := 0; budget > 0 && entries < stepEntries && v.index < len(q.index.spans); v.index++ {
		s := q.index.spans[v.index]
		if s.live == 0 {
			continue
		}
		entries++
		budget -= int64(s.size) + around
		v.left -= int64(s.size) + around
		if _, err := q.load(s); isUnreadable(err) {
			if err := q.giveUp(ctx, v.index, err); err != nil {
				return false, err
			}
			v.index-- // what lies there now
		} else if err != nil {
			return false, q.wrap("verify", err)
		}
	}
	if v.index >= len(q.index.spans) {
		v.index, v.left = 0, 0
	}
	return v.left > 0, nil
}

// verifyStates reads the states that are kept, and writes one anew if one of them is
// damaged.
func (q *Queue) verifyStates() error {
	bad := false
	for _, s := range append([]entry{q.disk.newest}, q.disk.states...) {
		_, err := q.decode(s.key)
		if isUnreadable(err) {
			q.o.Logger.Error("a state entry is unreadable, and is written anew", "queue", q.o.Name, "lsn", s.key, "error", err)
			q.quarantine(s)
			bad = true
		} else if err != nil {
			return q.wrap("verify", err)
		}
	}
	if !bad {
		return nil
	}
	for range 2 { // the newest and the one before
		if err := q.writeState(false); err != nil {
			return err
		}
	}
	return nil
}
