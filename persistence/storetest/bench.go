package storetest

import (
	"fmt"
	"testing"

	"github.com/mqttdb/mqttdb/persistence"
	"github.com/mqttdb/mqttdb/types"
)

const (
	benchBacklog = 8192 // messages that wait meanwhile
	benchPayload = 200  // bytes
)

// Bench measures what a queue of the store does with messages of 200 bytes, some
// at once: append, which leaves it to Sync to survive power loss, commit, which is
// both, fetch, and settle.
func Bench(b *testing.B, newStore func(testing.TB) persistence.Store) {
	for _, step := range []struct {
		name string
		at   []int // so many messages at once
		run  func(benched, *testing.B, int)
	}{
		{"append", []int{1, 16, 256}, benched.append},
		{"commit", []int{1, 16, 256}, benched.commit},
		{"fetch", []int{1, 16, 256}, benched.fetch},
		{"settle", []int{1, 16}, benched.settle}, // with more nearly all the time goes into filling, which is not measured
	} {
		for _, n := range step.at {
			b.Run(fmt.Sprintf("%s/%d", step.name, n), func(b *testing.B) {
				s := newStore(b)
				q := benched{open(b, s)}
				b.ReportAllocs()
				step.run(q, b, n)
				b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*n), "ns/msg")
				closeAll(b, s, q.Queue)
			})
		}
	}
}

// benched is a queue that is measured.
type benched struct{ persistence.Queue }

func (q benched) append(b *testing.B, n int) { q.store(b, n, func() {}) }

func (q benched) commit(b *testing.B, n int) { q.store(b, n, func() { syncQueue(b, q.Queue) }) }

// store writes n messages at a time and calls behind each write, and empties the
// queue now and then.
func (q benched) store(b *testing.B, n int, behind func()) {
	c, waiting := persistence.Commit{Messages: entries(n, benchPayload)}, 0
	for b.Loop() {
		write(b, q.Queue, c)
		behind()
		if waiting += n; waiting >= benchBacklog {
			b.StopTimer()
			q.empty(b)
			waiting = 0
			b.StartTimer()
		}
	}
}

func (q benched) fetch(b *testing.B, n int) {
	q.fill(b)
	after, buf := types.Seq(0), []persistence.Record(nil)
	for b.Loop() {
		var err error
		if buf, err = q.Read(b.Context(), buf[:0], after, persistence.Limit{Records: n}); err != nil || len(buf) != n {
			b.Fatalf("%d records, %v", len(buf), err)
		}
		if after += types.Seq(n); after == benchBacklog {
			after = 0
		}
	}
}

func (q benched) settle(b *testing.B, n int) {
	q.fill(b)
	for b.Loop() {
		st := q.State()
		write(b, q.Queue, persistence.Commit{Done: done(st.Floor+1, st.Floor+types.Seq(n), types.Sent)})
		if st.Pending() == uint64(n) {
			b.StopTimer()
			compact(b, q.Queue)
			q.fill(b)
			b.StartTimer()
		}
	}
}

// fill leaves a backlog that came in batches of 256.
func (q benched) fill(b *testing.B) {
	b.Helper()
	c := persistence.Commit{Messages: entries(256, benchPayload)}
	for range benchBacklog / 256 {
		write(b, q.Queue, c)
	}
}

// empty settles all that waits, and gives its space back.
func (q benched) empty(b *testing.B) {
	b.Helper()
	st := q.State()
	write(b, q.Queue, persistence.Commit{Done: done(st.Floor+1, st.Next-1, types.Sent)})
	compact(b, q.Queue)
}
