// Package storetest holds the suite that every persistence.Store must pass: the
// sentences of its contract one by one, and random histories compared with a
// model, the store being killed after every step.
package storetest

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/mqttdb/mqttdb/persistence"
	"github.com/mqttdb/mqttdb/types"
)

// Harness makes the stores to be tested.
type Harness struct {
	// New returns an empty store with segments small enough that some
	// kilobytes fill one.
	New func(t testing.TB) persistence.Store

	// Kill returns a store that holds what the death of the process would leave
	// of s, which is not used any more.
	Kill func(t testing.TB, s persistence.Store) persistence.Store

	// PowerCut returns a store that holds what a power cut might leave of s. It
	// is nil for a store whose medium cannot lose what was written.
	PowerCut func(t testing.TB, s persistence.Store, r *rand.Rand) persistence.Store

	// Break makes every later access to the medium of s fail, as if the disk had
	// been pulled out. It is nil if that cannot be done.
	Break func(t testing.TB, s persistence.Store)

	// Lazy says that numbers are left out after an end that was not clean (S2.3).
	Lazy bool

	// SegmentSize is that of the stores that New returns, in bytes; 0: 8 MiB.
	SegmentSize uint64

	// Histories is how many random histories are tried; 0: 40.
	Histories int
}

func (h Harness) segment() uint64 {
	if h.SegmentSize == 0 {
		return 8 << 20
	}
	return h.SegmentSize
}

const queueName = "plant/outgoing"

// Run runs the suite.
func Run(t *testing.T, h Harness) {
	for _, c := range checks {
		t.Run(c.name, func(t *testing.T) { c.run(t, h) })
	}
}

// check is one test of the suite.
type check struct {
	name string
	run  func(testing.TB, Harness)
}

var checks = []check{
	{"numbers rise from 1 without gaps", testNumbers},
	{"a record comes back as it was stored", testRoundTrip},
	{"read starts behind a number and is cut", testRead},
	{"what was read may be kept", testKept},
	{"what was written is not used any more", testNotUsed},
	{"what is done is gone and counted", testDone},
	{"everything of a commit is there at once", testCommit},
	{"handshakes are remembered until they are done", testHandshakes},
	{"marks come in order", testMarks},
	{"dead letters are kept until they are freed", testDead},
	{"what was sent is kept until it lapses", testSent},
	{"what is kept takes its space and no more", testKeptSpace},
	{"what is too large is refused and no more", testTooLarge},
	{"a second open is refused", testInUse},
	{"after close nothing is taken", testClosed},
	{"after a failure nothing is taken", testBroken},
	{"names are listed", testNames},
	{"it may be opened again and again", testReopen},
	{"space comes back", testCompact},
	{"small batches are rolled up", testRollUp},
	{"one stuck message pins nothing", testStuck},
	{"sync may run beside everything", testConcurrentSync},
	{"random histories, killed at every step", testHistories},
	{"random histories with power cuts", testPowerCuts},
}

func open(t testing.TB, s persistence.Store) persistence.Queue {
	t.Helper()
	q, err := s.Open(t.Context(), queueName)
	if err != nil {
		t.Fatalf("open: %v", err)
	}
	return q
}

func write(t testing.TB, q persistence.Queue, c persistence.Commit) types.Seq {
	t.Helper()
	first, err := q.Write(t.Context(), c)
	if err != nil {
		t.Fatalf("write: %v", err)
	}
	return first
}

func syncQueue(t testing.TB, q persistence.Queue) {
	t.Helper()
	if err := q.Sync(t.Context()); err != nil {
		t.Fatalf("sync: %v", err)
	}
}

func readAll(t testing.TB, q persistence.Queue) []persistence.Record {
	t.Helper()
	var out []persistence.Record
	after := types.Seq(0)
	for {
		n := len(out)
		var err error
		out, err = q.Read(t.Context(), out, after, persistence.Limit{Records: 100})
		if err != nil {
			t.Fatalf("read: %v", err)
		}
		if len(out) == n {
			return out
		}
		for _, r := range out[n:] {
			if r.Seq <= after {
				t.Fatalf("read: message %d came behind %d", r.Seq, after)
			}
			after = r.Seq
		}
	}
}

// readDead reads all dead letters.
func readDead(t testing.TB, q persistence.Queue) []persistence.Record {
	t.Helper()
	reader, ok := q.(persistence.DeadReader)
	if !ok {
		t.Fatal("it keeps no dead letters")
	}
	var out []persistence.Record
	for after := types.Seq(0); ; after = out[len(out)-1].Seq {
		n := len(out)
		var err error
		if out, err = reader.ReadDead(t.Context(), out, after, persistence.Limit{Records: 7}); err != nil {
			t.Fatalf("read dead letters: %v", err)
		}
		if len(out) == n {
			return out
		}
	}
}

func closeAll(t testing.TB, s persistence.Store, q persistence.Queue) {
	t.Helper()
	if err := q.Close(context.Background()); err != nil {
		t.Fatalf("close: %v", err)
	}
	if err := s.Close(); err != nil {
		t.Fatalf("close the store: %v", err)
	}
}

// now is a time as the stores keep it.
func now() time.Time { return time.UnixMilli(time.Now().UnixMilli()) }

func entries(n int, payload int) []persistence.Entry {
	out := make([]persistence.Entry, n)
	for i := range out {
		out[i] = persistence.Entry{
			Message:  types.Message{Topic: fmt.Sprintf("t/%d", i%7), Payload: bytes.Repeat([]byte{byte(i)}, payload), QoS: 1},
			Enqueued: now(),
		}
	}
	return out
}

func done(first, last types.Seq, why types.Reason) []persistence.Done {
	return []persistence.Done{{Range: persistence.Range{First: first, Last: last}, Reason: why}}
}

func sameEntry(a, b persistence.Entry) bool {
	return a.Message.Topic == b.Message.Topic && bytes.Equal(a.Message.Payload, b.Message.Payload) &&
		a.Message.QoS == b.Message.QoS && a.Message.Retain == b.Message.Retain && a.Message.Expiry == b.Message.Expiry &&
		bytes.Equal(a.Message.Properties, b.Message.Properties) && a.Origin == b.Origin && a.Enqueued.Equal(b.Enqueued) && a.Enveloped == b.Enveloped && a.Original.Equal(b.Original)
}
