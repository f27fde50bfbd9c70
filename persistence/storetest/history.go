package storetest

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/mqttdb/mqttdb/persistence"
	"github.com/mqttdb/mqttdb/types"
)

// model is what a queue must hold.
type model struct {
	next    types.Seq
	pending map[types.Seq]persistence.Entry
	ever    map[types.Seq]persistence.Entry // all that were accepted
	left    [types.Reasons]uint64
	marks   map[string]string

	released  map[types.Seq]bool
	abandoned map[types.Seq]types.Reason
	dead      map[types.Seq]letter
	kept      map[types.Seq]persistence.Entry
}

// letter is a dead letter.
type letter struct {
	persistence.Entry
	cause string
}

func newModel() *model {
	return &model{
		next: 1, pending: map[types.Seq]persistence.Entry{}, ever: map[types.Seq]persistence.Entry{}, marks: map[string]string{},
		released: map[types.Seq]bool{}, abandoned: map[types.Seq]types.Reason{}, dead: map[types.Seq]letter{},
		kept: map[types.Seq]persistence.Entry{},
	}
}

func (m *model) clone() *model {
	c := *m
	c.pending, c.ever, c.marks = maps.Clone(m.pending), maps.Clone(m.ever), maps.Clone(m.marks)
	c.dead, c.kept = maps.Clone(m.dead), maps.Clone(m.kept)
	c.released, c.abandoned = maps.Clone(m.released), maps.Clone(m.abandoned)
	return &c
}

func (m *model) apply(c persistence.Commit) {
	for _, e := range c.Messages {
		m.pending[m.next], m.ever[m.next] = e, e
		m.next++
	}
	for _, a := range c.Abandoned {
		for s := a.Range.First; s <= a.Range.Last; s++ {
			_, before := m.abandoned[s]
			if _, ok := m.pending[s]; ok && !before {
				m.abandoned[s] = a.Reason
			}
		}
	}
	for _, r := range c.Released {
		for s := r.First; s <= r.Last; s++ {
			if _, ok := m.pending[s]; ok {
				m.released[s] = true
			}
		}
	}
	for _, r := range c.Withdrawn {
		for s := range m.released {
			if _, kept := m.abandoned[s]; s >= r.First && s <= r.Last && !kept {
				delete(m.released, s)
			}
		}
	}
	for _, d := range c.Done {
		for s := d.Range.First; s <= d.Range.Last; s++ {
			if e, ok := m.pending[s]; ok {
				if d.Reason == types.Dead {
					m.dead[s] = letter{e, d.Cause}
				}
				if _, given := m.abandoned[s]; d.Keep && !given {
					m.kept[s] = e
				}
				delete(m.pending, s)
				delete(m.released, s)
				delete(m.abandoned, s)
				m.left[d.Reason]++
			}
		}
	}
	for _, r := range c.Freed {
		for s := r.First; s <= r.Last; s++ {
			delete(m.dead, s)
		}
	}
	for _, r := range c.Lapsed {
		for s := r.First; s <= r.Last; s++ {
			delete(m.kept, s)
		}
	}
	for _, k := range c.Marks {
		if len(k.Value) == 0 {
			delete(m.marks, k.Key)
		} else {
			m.marks[k.Key] = string(k.Value)
		}
	}
}

// check compares a queue with the model.
func (m *model) check(t testing.TB, q persistence.Queue, when string) {
	t.Helper()
	got := readAll(t, q)
	want := slices.Sorted(maps.Keys(m.pending))
	if len(got) != len(want) {
		t.Fatalf("%s: %d messages pending, want %d", when, len(got), len(want))
	}
	for i, r := range got {
		if r.Seq != want[i] || !sameEntry(r.Entry, m.pending[r.Seq]) {
			t.Fatalf("%s: message %d is %v, want %d %v", when, i, r, want[i], m.pending[want[i]])
		}
		why, abandoned := m.abandoned[r.Seq]
		if r.Released != m.released[r.Seq] || r.Abandoned != abandoned || r.Why != why {
			t.Fatalf("%s: message %d: released %t, abandoned %t (%v); want %t, %t (%v)", when, r.Seq, r.Released, r.Abandoned, r.Why,
				m.released[r.Seq], abandoned, why)
		}
	}
	m.checkDead(t, q, when)
	m.checkKept(t, q, when)
	marks := map[string]string{}
	for k, v := range q.Marks("") {
		marks[k] = string(v)
	}
	if !maps.Equal(marks, m.marks) {
		t.Fatalf("%s: marks %v, want %v", when, marks, m.marks)
	}
	st := q.State()
	if st.Next != m.next || st.Counters.Left != m.left || st.Pending() != uint64(len(want)) || st.Counters.Accepted != uint64(len(m.ever)) {
		t.Fatalf("%s: state %+v does not agree with next %d, left %v, %d pending of %d", when, st, m.next, m.left, len(want), len(m.ever))
	}
	if st.DuplicatesPossible {
		t.Fatalf("%s: claims damage", when)
	}
	books(t, st, when)
}

// checkDead compares the dead letters.
func (m *model) checkDead(t testing.TB, q persistence.Queue, when string) {
	t.Helper()
	got, want := readDead(t, q), slices.Sorted(maps.Keys(m.dead))
	if len(got) != len(want) || q.State().Dead != uint64(len(want)) {
		t.Fatalf("%s: %d dead letters, %d as its state says; want %d", when, len(got), q.State().Dead, len(want))
	}
	for i, r := range got {
		if l := m.dead[r.Seq]; r.Seq != want[i] || !sameEntry(r.Entry, l.Entry) || r.Cause != l.cause {
			t.Fatalf("%s: dead letter %d is %v %q, want %d %v", when, i, r, r.Cause, want[i], l)
		}
	}
}

// checkKept compares what was sent and is kept.
func (m *model) checkKept(t testing.TB, q persistence.Queue, when string) {
	t.Helper()
	got, want := readSent(t, q), slices.Sorted(maps.Keys(m.kept))
	if len(got) != len(want) || q.State().Kept != uint64(len(want)) {
		t.Fatalf("%s: %d messages are kept, %d as its state says; want %d", when, len(got), q.State().Kept, len(want))
	}
	for i, r := range got {
		if r.Seq != want[i] || !sameEntry(r.Entry, m.kept[r.Seq]) {
			t.Fatalf("%s: kept message %d is %v, want %d %v", when, i, r, want[i], m.kept[want[i]])
		}
	}
}

// jump takes over that numbers were left out, if that is to be (S2.3).
func (m *model) jump(t testing.TB, h Harness, q persistence.Queue, when string) {
	t.Helper()
	if !h.Lazy {
		return
	}
	if next := q.State().Next; next != m.next+65536 {
		t.Fatalf("%s: next is %d, want %d: it was killed at %d", when, next, m.next+65536, m.next)
	}
	m.next += 65536
}

// books checks S1: the books balance, always.
func books(t testing.TB, st persistence.State, when string) {
	t.Helper()
	sum := st.Pending()
	for _, n := range st.Counters.Left {
		sum += n
	}
	if st.Counters.Accepted != sum {
		t.Fatalf("%s: the books do not balance: %+v", when, st.Counters)
	}
}

// keeps says whether a message is kept, or may come to be.
func (m *model) keeps(s types.Seq) bool {
	_, kept := m.kept[s]
	_, pending := m.pending[s]
	return kept || pending
}

// randomCommit makes a commit on what m holds.
func (m *model) randomCommit(r *rand.Rand) persistence.Commit {
	var c persistence.Commit
	if r.IntN(3) > 0 {
		for range 1 + r.IntN(20) {
			e := persistence.Entry{
				Message: types.Message{
					Topic: fmt.Sprintf("topic/%d", r.IntN(5)), Payload: make([]byte, r.IntN(400)),
					QoS: types.QoS(r.IntN(3)), Retain: r.IntN(4) == 0,
				},
				Enqueued: time.UnixMilli(r.Int64N(1 << 42)),
			}
			for i := range e.Message.Payload {
				e.Message.Payload[i] = byte(r.Uint32())
			}
			if r.IntN(5) == 0 {
				e.Origin = types.Origin{Source: fmt.Sprint("client", r.IntN(3)), ID: r.Uint64()}
			}
			e.Enveloped = r.IntN(6) == 0
			if r.IntN(8) == 0 {
				e.Original = time.UnixMilli(r.Int64N(1 << 42))
			}
			c.Messages = append(c.Messages, e)
		}
	}
	if m.next > 1 && r.IntN(2) == 0 {
		for range 1 + r.IntN(3) {
			first := 1 + types.Seq(r.Uint64N(uint64(m.next)))
			if r.IntN(2) == 0 && len(m.pending) > 0 {
				first = slices.Min(slices.Collect(maps.Keys(m.pending)))
			}
			last := first + types.Seq(r.IntN(30))
			d := persistence.Done{Range: persistence.Range{First: first, Last: last}, Reason: types.Reason(r.IntN(types.Reasons)), Cause: fmt.Sprint("cause ", r.IntN(3))}
			d.Keep = d.Reason == types.Sent && r.IntN(4) > 0
			c.Done = append(c.Done, d)
		}
	}
	if len(m.dead) > 0 && r.IntN(3) == 0 {
		first := slices.Min(slices.Collect(maps.Keys(m.dead))) + types.Seq(r.IntN(20))
		c.Freed.Add(persistence.Range{First: first, Last: first + types.Seq(r.IntN(8))})
	}
	if len(m.kept) > 0 && r.IntN(3) == 0 {
		first := slices.Min(slices.Collect(maps.Keys(m.kept))) + types.Seq(r.IntN(10))
		c.Lapsed.Add(persistence.Range{First: first, Last: first + types.Seq(r.IntN(10))})
	}
	if m.next > 1 && r.IntN(4) == 0 {
		first := 1 + types.Seq(r.Uint64N(uint64(m.next)))
		c.Released.Add(persistence.Range{First: first, Last: first + types.Seq(r.IntN(4))})
	}
	if len(m.released) > 0 && r.IntN(4) == 0 {
		first := slices.Min(slices.Collect(maps.Keys(m.released))) + types.Seq(r.IntN(6))
		c.Withdrawn.Add(persistence.Range{First: first, Last: first + types.Seq(r.IntN(12))})
	}
	if m.next > 1 && r.IntN(5) == 0 {
		first := 1 + types.Seq(r.Uint64N(uint64(m.next)))
		c.Abandoned = append(c.Abandoned, persistence.Done{
			Range:  persistence.Range{First: first, Last: first + types.Seq(r.IntN(6))},
			Reason: types.Reason(1 + r.IntN(types.Reasons-1)),
		})
	}
	if r.IntN(4) == 0 {
		c.Marks = append(c.Marks, persistence.Mark{Key: fmt.Sprint("k", r.IntN(6)), Value: []byte(fmt.Sprint(r.IntN(1000)))})
	}
	if r.IntN(6) == 0 {
		c.Marks = append(c.Marks, persistence.Mark{Key: fmt.Sprint("k", r.IntN(6))})
	}
	return c
}

func (h Harness) histories() int {
	if h.Histories > 0 {
		return h.Histories
	}
	return 40
}

func testHistories(t testing.TB, h Harness) {
	for seed := range h.histories() {
		r := rand.New(rand.NewPCG(uint64(seed), 1))
		m := newModel()
		s := h.New(t)
		q := open(t, s)
		for step := range 30 {
			when := fmt.Sprintf("seed %d step %d", seed, step)
			switch r.IntN(8) {
			case 0:
				compactSome(t, q, 1+r.IntN(20))
			case 1:
				syncQueue(t, q)
			case 2:
				closeAll(t, s, q)
				s = h.Kill(t, s)
				q = open(t, s)
			default:
				for range 1 + r.IntN(4) {
					c := m.randomCommit(r)
					// Numbers that are not given out yet are not done.
					write(t, q, c)
					m.apply(c)
				}
			}
			if step%5 == 4 {
				m.check(t, q, when)
			}
			s = h.Kill(t, s)
			q = open(t, s)
			m.jump(t, h, q, when)
			m.check(t, q, when+", killed")
		}
		closeAll(t, s, q)
	}
}

func testPowerCuts(t testing.TB, h Harness) {
	if h.PowerCut == nil {
		t.Log("this medium loses nothing that was written")
		return
	}
	for seed := range h.histories() {
		r := rand.New(rand.NewPCG(uint64(seed), 2))
		s := h.New(t)
		q := open(t, s)
		for round := range 5 {
			m := newModel()
			st := q.State()
			m.next = st.Next
			for _, rec := range readAll(t, q) {
				m.pending[rec.Seq], m.ever[rec.Seq] = rec.Entry, rec.Entry
				if rec.Abandoned {
					m.abandoned[rec.Seq] = rec.Why
				}
			}
			for _, rec := range readDead(t, q) {
				m.dead[rec.Seq], m.ever[rec.Seq] = letter{rec.Entry, rec.Cause}, rec.Entry
			}
			for _, rec := range readSent(t, q) {
				m.kept[rec.Seq], m.ever[rec.Seq] = rec.Entry, rec.Entry
			}
			synced := m.clone()
			for range 25 {
				switch r.IntN(6) {
				case 0: // which syncs what it needs, and that need not be all
					compactSome(t, q, 1+r.IntN(4))
				case 1, 2:
					syncQueue(t, q)
					synced = m.clone()
				default:
					c := m.randomCommit(r)
					write(t, q, c)
					m.apply(c)
				}
			}
			s = h.PowerCut(t, s, r)
			q = open(t, s)
			checkCut(t, q, synced, m, fmt.Sprintf("seed %d round %d", seed, round))
		}
		closeAll(t, s, q)
	}
}

// checkCut checks what is left after a power cut: everything synced, unless a
// later commit removed it, and nothing that was never written.
func checkCut(t testing.TB, q persistence.Queue, synced, latest *model, when string) {
	t.Helper()
	got := map[types.Seq]bool{}
	for _, r := range readAll(t, q) {
		got[r.Seq] = true
		if e, ok := latest.ever[r.Seq]; !ok || !sameEntry(r.Entry, e) {
			t.Fatalf("%s: message %d is not what was written: %v", when, r.Seq, r)
		}
		if _, ok := synced.ever[r.Seq]; ok {
			if _, ok := synced.pending[r.Seq]; !ok {
				t.Fatalf("%s: message %d was done and synced, and is back", when, r.Seq)
			}
		}
	}
	for seq := range synced.pending {
		if _, still := latest.pending[seq]; still && !got[seq] {
			t.Fatalf("%s: message %d was synced and is lost", when, seq)
		}
	}
	dead := map[types.Seq]bool{}
	for _, r := range readDead(t, q) {
		dead[r.Seq] = true
		if e, ok := latest.ever[r.Seq]; !ok || !sameEntry(r.Entry, e) || got[r.Seq] {
			t.Fatalf("%s: dead letter %d is not what was written, or pending (%t): %v", when, r.Seq, got[r.Seq], r)
		}
	}
	for seq := range latest.dead { // set aside now or before, and not freed: it is there in any case
		if _, known := synced.ever[seq]; known && !dead[seq] && !got[seq] {
			t.Fatalf("%s: message %d was synced, and is lost as a dead letter", when, seq)
		}
		if _, before := synced.dead[seq]; before && !dead[seq] {
			t.Fatalf("%s: dead letter %d was synced, and is none", when, seq)
		}
	}
	kept := map[types.Seq]bool{}
	for _, r := range readSent(t, q) {
		kept[r.Seq] = true
		if e, ok := latest.ever[r.Seq]; !ok || !sameEntry(r.Entry, e) || got[r.Seq] || dead[r.Seq] {
			t.Fatalf("%s: kept message %d is not what was written, or pending (%t), or dead (%t): %v", when, r.Seq, got[r.Seq], dead[r.Seq], r)
		}
		if _, known := synced.ever[r.Seq]; known && !synced.keeps(r.Seq) {
			t.Fatalf("%s: message %d had left, and has lapsed or was never kept, and is kept", when, r.Seq)
		}
	}
	for seq := range synced.kept {
		if _, still := latest.kept[seq]; still && !kept[seq] {
			t.Fatalf("%s: it was synced that message %d is kept, and it is lost", when, seq)
		}
	}
	st := q.State()
	if st.Next < synced.next {
		t.Fatalf("%s: the next number is %d, but %d was given out", when, st.Next, synced.next-1)
	}
	books(t, st, when)
}
