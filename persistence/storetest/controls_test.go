package storetest

import (
	"context"
	"fmt"
	"iter"
	"math/rand/v2"
	"runtime"
	"slices"
	"testing"
	"time"

	"github.com/mqttdb/mqttdb/persistence"
	"github.com/mqttdb/mqttdb/persistence/memory"
	"github.com/mqttdb/mqttdb/types"
)

// TestBrokenStoresAreCaught runs the suite on stores that break one promise
// each. One that passes shows a check that cannot fail.
func TestBrokenStoresAreCaught(t *testing.T) {
	for _, c := range []struct {
		name string
		by   string // the check that must catch it
		flaw flaw
	}{
		{"none", "", flaw{}},
		{"loses acknowledgements", "what is done is gone and counted", flaw{write: func(c *persistence.Commit) { c.Done = nil }}},
		{"loses marks", "everything of a commit is there at once", flaw{write: func(c *persistence.Commit) { c.Marks = nil }}},
		{"never removes a mark", "marks come in order", flaw{write: func(c *persistence.Commit) {
			c.Marks = slices.DeleteFunc(slices.Clone(c.Marks), func(m persistence.Mark) bool { return len(m.Value) == 0 })
		}}},
		{"loses what was released", "handshakes are remembered until they are done", flaw{write: func(c *persistence.Commit) { c.Released = nil }}},
		{"withdraws nothing", "handshakes are remembered until they are done", flaw{write: func(c *persistence.Commit) { c.Withdrawn = nil }}},
		{"loses what was abandoned", "handshakes are remembered until they are done", flaw{write: func(c *persistence.Commit) { c.Abandoned = nil }}},
		{"loses origins", "a record comes back as it was stored", flaw{change: func(e *persistence.Entry) { e.Origin = types.Origin{} }}},
		{"loses properties", "a record comes back as it was stored", flaw{change: func(e *persistence.Entry) { e.Message.Properties = nil }}},
		{"loses that it is a replay", "a record comes back as it was stored", flaw{change: func(e *persistence.Entry) { e.Original = time.Time{} }}},
		{"loses the retain flag", "a record comes back as it was stored", flaw{change: func(e *persistence.Entry) { e.Message.Retain = false }}},
		{"changes payloads", "random histories, killed at every step", flaw{change: func(e *persistence.Entry) {
			if n := len(e.Message.Payload); n > 390 {
				e.Message.Payload = append(slices.Clone(e.Message.Payload[:n-1]), 0)
			}
		}}},
		{"loses a message", "numbers rise from 1 without gaps", flaw{write: func(c *persistence.Commit) { c.Messages = c.Messages[:len(c.Messages)/2] }}},
		{"stores messages twice", "numbers rise from 1 without gaps", flaw{write: func(c *persistence.Commit) { c.Messages = slices.Concat(c.Messages, c.Messages) }}},
		{"counts under another reason", "what is done is gone and counted", flaw{write: func(c *persistence.Commit) {
			c.Done = slices.Clone(c.Done)
			for i := range c.Done {
				c.Done[i].Reason = types.Sent
			}
		}}},
		{"gives nothing that is over the limit", "read starts behind a number and is cut", flaw{read: func(_, fresh []persistence.Record, l persistence.Limit) []persistence.Record {
			if len(fresh) == 1 && l.Bytes > 0 && int64(fresh[0].Message.Size()) > l.Bytes {
				return nil
			}
			return fresh
		}}},
		{"takes no limit for none", "read starts behind a number and is cut", flaw{read: func(_, fresh []persistence.Record, l persistence.Limit) []persistence.Record {
			if l == (persistence.Limit{}) {
				return nil
			}
			return fresh
		}}},
		{"reads backwards", "read starts behind a number and is cut", flaw{read: func(_, fresh []persistence.Record, _ persistence.Limit) []persistence.Record {
			slices.Reverse(fresh)
			return fresh
		}}},
		{"uses memory again that it gave away", "what was read may be kept", flaw{read: func(last, fresh []persistence.Record, _ persistence.Limit) []persistence.Record {
			for i := range last {
				clear(last[i].Message.Payload)
			}
			return fresh
		}}},
		{"does not sync", "random histories with power cuts", flaw{lazySync: true}},
		{"loses what was written in a kill", "random histories, killed at every step", flaw{weakKill: true}},
		{"forgets numbers", "numbers rise from 1 without gaps", flaw{restart: true}},
		{"lets two in", "a second open is refused", flaw{shared: true}},
		{"goes on after a close", "after close nothing is taken", flaw{deaf: true}},
		{"goes on after a failure", "after a failure nothing is taken", flaw{deaf: true}},
		{"does not list all", "names are listed", flaw{names: true}},
		{"never compacts", "space comes back", flaw{compact: func(persistence.Compaction) (persistence.Compaction, bool) { return persistence.Compaction{}, false }}},
		{"never compacts, either", "one stuck message pins nothing", flaw{compact: func(persistence.Compaction) (persistence.Compaction, bool) { return persistence.Compaction{}, false }}},
		{"compacts for ever", "small batches are rolled up", flaw{compact: func(c persistence.Compaction) (persistence.Compaction, bool) {
			c.More = true
			return c, true
		}}},
		{"loses dead letters", "dead letters are kept until they are freed", flaw{letters: func(r []persistence.Record) []persistence.Record { return r[:0] }}},
		{"loses why letters are dead", "dead letters are kept until they are freed", flaw{letters: func(r []persistence.Record) []persistence.Record {
			for i := range r {
				r[i].Cause = ""
			}
			return r
		}}},
		{"keeps dead letters for ever", "random histories, killed at every step", flaw{write: func(c *persistence.Commit) { c.Freed = nil }}},
		{"keeps what was sent for ever", "what was sent is kept until it lapses", flaw{write: func(c *persistence.Commit) { c.Lapsed = nil }}},
		{"gives back no space of what was kept", "what is kept takes its space and no more", flaw{write: func(c *persistence.Commit) { c.Lapsed = nil }}},
		{"keeps nothing that was sent", "random histories, killed at every step", flaw{write: func(c *persistence.Commit) {
			c.Done = slices.Clone(c.Done)
			for i := range c.Done {
				c.Done[i].Keep = false
			}
		}}},
		{"keeps all that was sent", "what was sent is kept until it lapses", flaw{write: func(c *persistence.Commit) {
			c.Done = slices.Clone(c.Done)
			for i := range c.Done {
				c.Done[i].Keep = c.Done[i].Reason == types.Sent
			}
		}}},
		{"loses the last one that was kept", "random histories with power cuts", flaw{kept: func(r []persistence.Record) []persistence.Record { return r[:max(len(r), 1)-1] }}},
		{"sorts marks the wrong way", "marks come in order", flaw{marks: true}},
		{"changes when it is asked too much", "what is too large is refused and no more", flaw{eager: true}},
	} {
		t.Run(c.name, func(t *testing.T) {
			caught := map[string]string{}
			h := c.flaw.harness()
			for _, check := range checks {
				if c.by != "" && c.by != check.name {
					continue
				}
				r := &recording{TB: t}
				r.run(check.run, h)
				if r.failed != "" {
					caught[check.name] = r.failed
				}
			}
			if c.by == "" && len(caught) > 0 {
				t.Errorf("a good store is accused: %v", caught)
			}
			if c.by != "" && caught[c.by] == "" {
				t.Errorf("not caught by %q", c.by)
			}
		})
	}
}

// recording is a testing.TB that notes that a test failed instead of failing.
type recording struct {
	testing.TB
	failed string // what it said first
}

func (r *recording) run(test func(testing.TB, Harness), h Harness) {
	done := make(chan struct{})
	go func() { // Fatal ends it
		defer close(done)
		test(r, h)
	}()
	<-done
}

func (r *recording) note(s string) {
	if r.failed == "" {
		r.failed = s
	}
}

func (r *recording) Error(args ...any)                 { r.note(fmt.Sprintln(args...)) }
func (r *recording) Errorf(format string, args ...any) { r.note(fmt.Sprintf(format, args...)) }
func (r *recording) Fatal(args ...any)                 { r.Error(args...); runtime.Goexit() }
func (r *recording) Fatalf(format string, args ...any) { r.Errorf(format, args...); runtime.Goexit() }
func (r *recording) Log(...any)                        {}

// flaw is what is wrong with a store.
type flaw struct {
	write    func(*persistence.Commit)
	change   func(*persistence.Entry)
	read     func(last, fresh []persistence.Record, l persistence.Limit) []persistence.Record
	letters  func([]persistence.Record) []persistence.Record
	kept     func([]persistence.Record) []persistence.Record
	compact  func(persistence.Compaction) (c persistence.Compaction, really bool)
	lazySync bool // Sync does nothing
	weakKill bool // a kill is a power cut
	restart  bool // a kill leaves nothing
	shared   bool // Open gives a queue that is open to others, too
	deaf     bool // errors are not told
	names    bool
	marks    bool
	eager    bool // a commit that is refused takes numbers
}

func (f flaw) harness() Harness {
	const segment = 16 << 10
	inner := func(s persistence.Store) *memory.Store { return s.(*flawed).Store }
	return Harness{
		New: func(testing.TB) persistence.Store {
			return &flawed{Store: memory.New(memory.Options{SegmentSize: segment}), flaw: f}
		},
		Kill: func(_ testing.TB, s persistence.Store) persistence.Store {
			switch {
			case f.weakKill:
				return &flawed{Store: inner(s).PowerCut(rand.New(rand.NewPCG(1, 1))), flaw: f}
			case f.restart:
				return &flawed{Store: memory.New(memory.Options{SegmentSize: segment}), flaw: f}
			}
			return &flawed{Store: inner(s).Kill(), flaw: f}
		},
		PowerCut: func(_ testing.TB, s persistence.Store, r *rand.Rand) persistence.Store {
			return &flawed{Store: inner(s).PowerCut(r), flaw: f}
		},
		Break:       func(_ testing.TB, s persistence.Store) { inner(s).Kill() },
		SegmentSize: segment,
		Histories:   10,
	}
}

type flawed struct {
	*memory.Store
	flaw flaw
	open persistence.Queue
}

func (s *flawed) Open(ctx context.Context, name string) (persistence.Queue, error) {
	if s.flaw.shared && s.open != nil {
		return s.open, nil
	}
	q, err := s.Store.Open(ctx, name)
	if err != nil {
		return nil, err
	}
	s.open = &flawedQueue{Queue: q, flaw: s.flaw}
	return s.open, nil
}

func (s *flawed) Names(ctx context.Context) ([]string, error) {
	names, err := s.Store.Names(ctx)
	if s.flaw.names && len(names) > 1 {
		names = names[1:]
	}
	return names, err
}

type flawedQueue struct {
	persistence.Queue
	flaw flaw
	last []persistence.Record
}

func (q *flawedQueue) Write(ctx context.Context, c persistence.Commit) (types.Seq, error) {
	if q.flaw.write != nil {
		q.flaw.write(&c)
	}
	if q.flaw.change != nil {
		c.Messages = slices.Clone(c.Messages)
		for i := range c.Messages {
			q.flaw.change(&c.Messages[i])
		}
	}
	first, err := q.Queue.Write(ctx, c)
	if err != nil && q.flaw.eager {
		_, _ = q.Queue.Write(ctx, persistence.Commit{Messages: []persistence.Entry{{Message: types.Message{Topic: "t"}}}})
	}
	if q.flaw.deaf {
		err = nil
	}
	return first, err
}

func (q *flawedQueue) Sync(ctx context.Context) error {
	if q.flaw.lazySync {
		return nil
	}
	err := q.Queue.Sync(ctx)
	if q.flaw.deaf {
		return nil
	}
	return err
}

func (q *flawedQueue) Read(ctx context.Context, buf []persistence.Record, after types.Seq, l persistence.Limit) ([]persistence.Record, error) {
	n := len(buf)
	got, err := q.Queue.Read(ctx, buf, after, l)
	if q.flaw.read != nil && err == nil {
		fresh := slices.Clone(got[n:])
		for i := range fresh {
			fresh[i].Message.Payload = slices.Clone(fresh[i].Message.Payload)
		}
		fresh = q.flaw.read(q.last, fresh, l)
		q.last = fresh
		got = append(got[:n:n], fresh...)
	}
	return got, err
}

func (q *flawedQueue) ReadDead(ctx context.Context, buf []persistence.Record, after types.Seq, l persistence.Limit) ([]persistence.Record, error) {
	n := len(buf)
	got, err := q.Queue.(persistence.DeadReader).ReadDead(ctx, buf, after, l)
	if q.flaw.letters != nil {
		got = append(got[:n], q.flaw.letters(got[n:])...)
	}
	return got, err
}

func (q *flawedQueue) ReadSent(ctx context.Context, buf []persistence.Record, after types.Seq, l persistence.Limit) ([]persistence.Record, error) {
	n := len(buf)
	got, err := q.Queue.(persistence.SentReader).ReadSent(ctx, buf, after, l)
	if q.flaw.kept != nil {
		got = append(got[:n], q.flaw.kept(got[n:])...)
	}
	return got, err
}

func (q *flawedQueue) Compact(ctx context.Context, maxBytes int64) (persistence.Compaction, error) {
	c := q.Queue.(persistence.Compacter)
	if q.flaw.compact == nil {
		return c.Compact(ctx, maxBytes)
	}
	if did, really := q.flaw.compact(persistence.Compaction{}); !really {
		return did, nil
	}
	did, err := c.Compact(ctx, maxBytes)
	did, _ = q.flaw.compact(did)
	return did, err
}

func (q *flawedQueue) Marks(prefix string) iter.Seq2[string, []byte] {
	if !q.flaw.marks {
		return q.Queue.Marks(prefix)
	}
	return func(yield func(string, []byte) bool) {
		var keys []string
		values := map[string][]byte{}
		for key, value := range q.Queue.Marks(prefix) {
			keys = append(keys, key)
			values[key] = value
		}
		for _, key := range slices.Backward(keys) {
			if !yield(key, values[key]) {
				return
			}
		}
	}
}
