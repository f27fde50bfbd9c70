package actors

import (
	"github.com/mqttdb/mqttdb/persistence"
	"github.com/mqttdb/mqttdb/types"
)

// expireFor has recorded that messages have expired that c was to be given, and says
// whether there are some: what is left is read again then. What others have been
// given stays until they are done with it, and so does what is a dead letter.
func (a *consumers) expireFor(c *consumer, records []persistence.Record) bool {
	var gone persistence.Ranges
	now := a.config.Clock.Now()
	for i := range records {
		r := &records[i]
		if !past(until(r, a.maxAge), now) || a.letters.isLetter(r.Seq) {
			continue
		}
		if _, own := a.ownBy(c, r); own && !a.isGiven(r) {
			gone.Add(rangeOf(r.Seq))
		}
	}
	if len(gone) == 0 {
		return false
	}
	var n Note
	for _, r := range gone {
		n.Done = append(n.Done, persistence.Done{Range: r, Reason: types.Expired})
	}
	token := c.token
	c.fetching = true
	a.note(n, func(ours bool, err error) {
		if ours && err == nil && a.byName[c.name] == c && c.token == token {
			c.fetching = false
			a.fetchFor(c)
		} // else Opened follows
	})
	return true
}

// isGiven says whether somebody has been given a message and has not acknowledged it.
func (a *consumers) isGiven(r *persistence.Record) bool {
	has := func(c *consumer) bool {
		_, has := c.given[r.Seq]
		return has
	}
	if a.handle.index.any(r.Seq, r.Message.Topic, r.Origin.Source, has) {
		return true
	}
	for c := range a.narrowed {
		if has(c) {
			return true
		}
	}
	return false
}

// handedOut is what was given and is not acknowledged, and what is a dead letter when
// nobody needs it any more.
func (a *consumers) handedOut() (set persistence.Ranges) {
	for seq := range a.letters.causes {
		set.Add(rangeOf(seq))
	}
	for _, c := range a.byName {
		for seq := range c.given {
			set.Add(rangeOf(seq))
		}
	}
	return set
}
