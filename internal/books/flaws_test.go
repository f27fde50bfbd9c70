package books

import (
	"context"
	"testing"

	"github.com/mqttdb/mqttdb/persistence"
	"github.com/mqttdb/mqttdb/types"
)

// miscounting is a store whose State counts wrong.
type miscounting struct {
	stored
	how func(*persistence.State)
}

func (q miscounting) State() persistence.State {
	s := q.stored.State()
	q.how(&s)
	return s
}

// rewriting is a store that stores something else than it is told.
type rewriting struct {
	stored
	how func(*persistence.Commit)
}

func (q rewriting) Write(ctx context.Context, c persistence.Commit) (types.Seq, error) {
	c.Done = append([]persistence.Done(nil), c.Done...)
	q.how(&c)
	return q.stored.Write(ctx, c)
}

// leaving is a rewriting store in which what leaves for one reason leaves otherwise.
func leaving(q stored, how func(*persistence.Done)) stored {
	return rewriting{q, func(c *persistence.Commit) {
		for i := range c.Done {
			how(&c.Done[i])
		}
	}}
}

// passing is a store that does not read all.
type passing struct{ stored }

func (q passing) Read(ctx context.Context, buf []persistence.Record, after types.Seq, most persistence.Limit) ([]persistence.Record, error) {
	list, err := q.stored.Read(ctx, buf, after, most)
	kept := list[:len(buf)]
	for _, r := range list[len(buf):] {
		if r.Seq%17 != 0 {
			kept = append(kept, r)
		}
	}
	return kept, err
}

// TestBooksSeeHarm plays the same histories with queues that break the promise, each in
// one way, and wants that found.
func TestBooksSeeHarm(t *testing.T) {
	for _, f := range []struct {
		name string
		flaw func(stored) stored
	}{
		{"one is accepted that is not counted", func(q stored) stored {
			return miscounting{q, func(s *persistence.State) { s.Counters.Accepted -= s.Counters.Accepted / 20 }}
		}},
		{"one counts as sent that is pending", func(q stored) stored {
			return miscounting{q, func(s *persistence.State) {
				if s.Pending() > 0 {
					s.Counters.Left[types.Sent]++
				}
			}}
		}},
		{"what has expired counts as sent", func(q stored) stored {
			return leaving(q, func(d *persistence.Done) {
				if d.Reason == types.Expired {
					d.Reason = types.Sent
				}
			})
		}},
		{"what is dropped counts as cleared", func(q stored) stored {
			return leaving(q, func(d *persistence.Done) {
				if d.Reason == types.Dropped {
					d.Reason = types.Cleared
				}
			})
		}},
		{"what is cleared counts as quarantined", func(q stored) stored {
			return leaving(q, func(d *persistence.Done) {
				if d.Reason == types.Cleared {
					d.Reason = types.Quarantined
				}
			})
		}},
		{"one too many leaves", func(q stored) stored {
			return leaving(q, func(d *persistence.Done) {
				if d.Reason == types.Sent && d.Range.Last%3 == 0 {
					d.Range.Last++
				}
			})
		}},
		{"what was sent does not leave", func(q stored) stored {
			return rewriting{q, func(c *persistence.Commit) {
				if len(c.Done) > 1 && c.Done[0].Reason == types.Sent {
					c.Done = c.Done[1:]
				}
			}}
		}},
		{"dead letters are forgotten", func(q stored) stored {
			return rewriting{q, func(c *persistence.Commit) {
				for _, d := range c.Done {
					if d.Reason == types.Dead {
						c.Freed.Add(d.Range)
					}
				}
			}}
		}},
		{"what is pending is not all read", func(q stored) stored { return passing{q} }},
	} {
		t.Run(f.name, func(t *testing.T) {
			for seed := range uint64(40) {
				if wrong, _ := history(t, seed, false, f.flaw); len(wrong) > 0 {
					t.Logf("seed %d: %s", seed, wrong[0])
					return
				}
			}
			t.Error("it was not noticed: the test shows nothing")
		})
	}
}
