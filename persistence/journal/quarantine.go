package journal

import (
	"context"
	"slices"

	"github.com/mqttdb/mqttdb/persistence"
	"github.com/mqttdb/mqttdb/types"
)

// giveUp deals with a batch, the i-th of the index, that cannot be read. What
// it was rewritten from may still be there; the other messages of it are lost.
// Its bytes stay where they are until their segment goes.
func (q *Queue) giveUp(ctx context.Context, i int, why error) error {
	if err := q.failed(); err != nil { // it may be found again when the queue was opened again
		return err
	}
	bad := q.index.spans[i]
	q.quarantine(bad.entry())
	instead, err := q.uncover(bad)
	if err != nil {
		return q.wrap("read", err)
	}
	q.mu.Lock()
	q.disk.garbage = append(q.disk.garbage, bad.entry())
	q.index.replace(i, i+1, instead...)
	q.mu.Unlock()

	var held persistence.Ranges
	for _, s := range instead {
		held.Add(s.run())
	}
	var c persistence.Commit
	lost := uint64(0)
	for _, gap := range held.Missing(bad.run()) {
		c.Done = append(c.Done, persistence.Done{Range: gap, Reason: types.Quarantined})
		lost += q.books.pending(gap)
		if kept := q.books.retained(gap); kept > 0 {
			c.Freed.Add(gap)
			c.Lapsed.Add(gap)
			lost += kept
		}
	}
	q.o.Logger.Error("a batch is unreadable and was set aside", "queue", q.o.Name,
		"first", bad.first, "last", bad.last, "messages_lost", lost, "older_copies", len(instead), "error", why)
	_, err = q.Write(ctx, c)
	return err
}

// quarantine has the medium keep a copy of a damaged entry.
func (q *Queue) quarantine(e entry) {
	if k, ok := q.medium.(Quarantiner); ok {
		k.Quarantine(e.segment, e.key)
	}
}

// uncover takes what s covers out of the garbage, as far as it is readable, and
// returns it in order.
func (q *Queue) uncover(s span) ([]span, error) {
	covers := func(c span) bool { return c.first >= s.first && c.last <= s.last && c.key < s.key }
	var readable []span
	var unreadable []entry
	for _, c := range q.disk.covered {
		if !covers(c) {
			continue
		}
		if _, err := q.load(c); isUnreadable(err) {
			unreadable = append(unreadable, c.entry())
			continue
		} else if err != nil {
			return nil, err
		}
		c.look(&q.books)
		readable = append(readable, c)
	}
	instead, covered := layer(readable)
	q.disk.covered = append(slices.DeleteFunc(q.disk.covered, covers), covered...)
	q.disk.garbage = append(q.disk.garbage, unreadable...)
	return instead, nil
}
