package journal_test

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/mqttdb/mqttdb/persistence"
	"github.com/mqttdb/mqttdb/persistence/journal"
	"github.com/mqttdb/mqttdb/persistence/memory"
	"github.com/mqttdb/mqttdb/types"
)

const name = "plant/outgoing"

var errStopped = errors.New("stopped")

// stopper is a source whose medium stops at a given call: that one and all later
// ones fail, before they do anything. It counts what is done.
type stopper struct {
	journal.Source
	stopAt int // call; 0: never
	calls  int

	loads, forgotten, syncs int
	appended                int64
}

func (s *stopper) Start(ctx context.Context, record []byte) (journal.Medium, error) {
	m, err := s.Source.Start(ctx, record)
	if err != nil {
		return nil, err
	}
	return &stopping{m, s}, nil
}

func (s *stopper) call() error {
	s.calls++
	if s.stopAt > 0 && s.calls >= s.stopAt {
		return errStopped
	}
	return nil
}

type stopping struct {
	journal.Medium
	s *stopper
}

func (m *stopping) Append(key uint64, value []byte) (uint64, error) {
	if err := m.s.call(); err != nil {
		return 0, err
	}
	m.s.appended += int64(len(value))
	return m.Medium.Append(key, value)
}

func (m *stopping) Sync() error {
	if err := m.s.call(); err != nil {
		return err
	}
	m.s.syncs++
	return m.Medium.Sync()
}

func (m *stopping) Load(key uint64) ([]byte, error) {
	m.s.loads++
	return m.Medium.Load(key)
}

func (m *stopping) Forget(keys []uint64) error {
	if err := m.s.call(); err != nil {
		return err
	}
	m.s.forgotten += len(keys)
	return m.Medium.Forget(keys)
}

func (m *stopping) Drop(below uint64) (int64, error) {
	if err := m.s.call(); err != nil {
		return 0, err
	}
	return m.Medium.Drop(below)
}

// place is a memory store with one queue on it.
type place struct {
	t     testing.TB
	size  int
	lazy  bool
	store *memory.Store
	*stopper
	q persistence.Queue
}

func newPlace(t testing.TB, size int, lazy bool) *place {
	p := &place{t: t, size: size, lazy: lazy, store: memory.New(memory.Options{SegmentSize: size})}
	p.open()
	return p
}

func (p *place) tryOpen() (err error) {
	p.stopper = &stopper{Source: p.store.Source(name)}
	p.q, err = journal.Open(p.t.Context(), p.stopper, journal.Options{Name: name, Lazy: p.lazy, SegmentSize: int64(p.size)})
	return err
}

func (p *place) open() {
	p.t.Helper()
	if err := p.tryOpen(); err != nil {
		p.t.Fatalf("open: %v", err)
	}
}

// kill lets the process die.
func (p *place) kill() { p.store = p.store.Kill() }

func (p *place) close() {
	p.t.Helper()
	if err := p.q.Close(p.t.Context()); err != nil {
		p.t.Fatalf("close: %v", err)
	}
}

func (p *place) write(c persistence.Commit) types.Seq {
	p.t.Helper()
	first, err := p.q.Write(p.t.Context(), c)
	if err != nil {
		p.t.Fatalf("write: %v", err)
	}
	return first
}

// fill writes n messages, each in an entry of its own.
func (p *place) fill(n, payload int) {
	p.t.Helper()
	for range n {
		p.write(persistence.Commit{Messages: messages(1, payload)})
	}
}

func (p *place) done(first, last types.Seq) {
	p.t.Helper()
	p.write(persistence.Commit{Done: []persistence.Done{{Range: persistence.Range{First: first, Last: last}}}})
}

func (p *place) sync() {
	p.t.Helper()
	if err := p.q.Sync(p.t.Context()); err != nil {
		p.t.Fatalf("sync: %v", err)
	}
}

// compact compacts to the end of a pass and returns the number of calls.
func (p *place) compact() int {
	p.t.Helper()
	for n := 1; n < 100_000; n++ {
		did, err := p.q.(persistence.Compacter).Compact(p.t.Context(), 1<<20)
		if err != nil {
			p.t.Fatalf("compact: %v", err)
		}
		if !did.More {
			return n
		}
	}
	p.t.Fatal("compaction does not come to an end")
	return 0
}

// seqs returns the numbers that are pending.
func (p *place) seqs() []types.Seq {
	p.t.Helper()
	records, err := p.q.Read(p.t.Context(), nil, 0, persistence.Limit{})
	if err != nil {
		p.t.Fatalf("read: %v", err)
	}
	var out []types.Seq
	for _, r := range records {
		out = append(out, r.Seq)
	}
	return out
}

// find returns the positions of the entries that fit.
func (p *place) find(fits func(*persistence.Batch) bool) []int {
	var out []int
	for i, e := range p.store.Tamper(name).Entries() {
		if b, err := persistence.Decode(e.Value); err == nil && fits(b) {
			out = append(out, i)
		}
	}
	return out
}

func messages(n, payload int) []persistence.Entry {
	out := make([]persistence.Entry, n)
	for i := range out {
		out[i] = persistence.Entry{
			Message:  types.Message{Topic: fmt.Sprint("t/", i%5), Payload: make([]byte, payload), QoS: 1},
			Enqueued: time.UnixMilli(1e12),
		}
	}
	return out
}

// tryOpenStopped opens with the stopper that p has.
func (p *place) tryOpenStopped() (err error) {
	p.q, err = journal.Open(p.t.Context(), p.stopper, journal.Options{Name: name, Lazy: p.lazy, SegmentSize: int64(p.size)})
	return err
}

// reheader changes the header of an entry and makes its checksum right again.
func reheader(value []byte, change func([]byte)) []byte {
	b := append([]byte(nil), value...)
	change(b)
	binary.LittleEndian.PutUint32(b[60:], persistence.Checksum(b[:60]))
	return b
}

// newerRecord makes a store record one of the next major version.
func newerRecord(record []byte) []byte {
	record[4] = persistence.Major + 1
	binary.LittleEndian.PutUint32(record[28:], persistence.Checksum(record[:28]))
	return record
}
