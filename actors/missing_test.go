package actors

import (
	"bytes"
	"slices"
	"testing"

	"github.com/mqttdb/mqttdb/persistence"
	"github.com/mqttdb/mqttdb/types"
)

// S3.1, S7.5: damage that takes a message in flight does not leave its packet id taken at
// the broker: another message gets that id, and arrives. What is in flight beside it
// arrives once.
func TestDamageTakesWhatIsInFlight(t *testing.T) {
	g := newGateway(t, nil)
	g.start()
	// The marks of the session have an entry of their own, which stays whole.
	g.bell.wait(t, "a link", func() bool { return g.conn.Status().State == types.Online })
	g.broker.Withhold(true)
	g.put(2, "0", "1", "2", "3", "4")
	if err := g.broker.WaitFor(t.Context(), 5); err != nil {
		t.Fatal(err)
	}
	after := newTestStore()
	after.Store = g.store.Kill()
	g.broker.Cut()
	g.stop()
	g.store = after
	tamper := g.store.Tamper("cloud/outgoing")
	for i, e := range tamper.Entries() {
		if b, err := persistence.Decode(e.Value); err == nil && slices.ContainsFunc(b.Records, func(r persistence.Record) bool { return bytes.Equal(r.Message.Payload, []byte("2")) }) {
			tamper.FlipSilent(i, 600)
		}
	}
	g.broker.Withhold(false)
	for start := range 3 { // it is dealt with once
		g.start()
		g.drained()
		if n := g.queue.State().Counters.Left[types.Quarantined]; n != 1 {
			t.Fatalf("start %d: %d messages are lost to damage", start, n)
		}
		var marks Marks
		for ctx := soon(t); len(marks.List) != 1; { // not under the bell, which the queue rings
			var err error
			marks, err = Ask(ctx, g.queue.Ref, func(r Reply[Marks]) QueueMessage { return ReadMarks{markQuarantined, r} })
			if err != nil {
				t.Fatalf("start %d: waited in vain for the mark: %v", start, err)
			}
		}
		if n := quarantinedBy(marks.List); n != 1 {
			t.Fatalf("start %d: marked %d", start, n)
		}
		if got := g.arrived(); !slices.Equal(got, []string{"0", "1", "2", "3", "4"}) {
			t.Fatalf("start %d: arrived %q", start, got)
		}
		g.die(nil)
	}
	g.start()
	fill := make([]persistence.Entry, packetIDs-5)
	for i := range fill {
		fill[i] = entry("t", "fill")
		fill[i].Message.QoS = 0
	}
	for part := range slices.Chunk(fill, 1000) {
		if _, err := g.queue.Put(t.Context(), part); err != nil {
			t.Fatal(err)
		}
	}
	g.put(2, "a", "b", "c", "d", "e") // with the packet ids of 0 to 4
	g.drained()
	got := g.arrived()
	if got = got[len(got)-5:]; !slices.Equal(got, []string{"a", "b", "c", "d", "e"}) {
		t.Errorf("at last arrived %q", got)
	}
}
