package actors

import (
	"bytes"
	"reflect"
	"testing"
	"time"

	"github.com/mqttdb/mqttdb/persistence"
	"github.com/mqttdb/mqttdb/types"
)

// Golden marks: what this version writes, and every later one reads.
func TestConsumerMarks(t *testing.T) {
	c := consumer{
		name: "c",
		filters: map[string]Subscription{
			"b/#": {Filter: "b/#", QoS: 2, NoLocal: true, KeepRetain: true, From: 300},
			"a":   {Filter: "a", QoS: 1, From: 1},
		},
		cursor: cursor{through: 1000, open: persistence.Ranges{{First: 5, Last: 5}, {First: 990, Last: 1000}}, state: []byte("state")},
		expiry: time.Minute, left: time.UnixMilli(1_700_000_000_000), suspects: unknownSuspects,
	}
	definition, position := c.definition(), c.position(0)
	golden := []struct {
		mark persistence.Mark
		want string
	}{
		{definition, "\x01\x02\x01a\x01\x01\x03b/#\x0e\xac\x02"},
		{position, "\x01\x01\xe8\x07\xe0\xd4\x03\x80\xd0\x95\xff\xbc1\x02\x05\x00\xd9\x07\nstate"},
	}
	for _, g := range golden {
		if string(g.mark.Value) != g.want {
			t.Errorf("%s is %q, want %q", g.mark.Key, g.mark.Value, g.want)
		}
	}
	back := consumer{name: "c"}
	if err := back.define([]byte(golden[0].want)); err != nil {
		t.Fatal(err)
	}
	if err := back.place([]byte(golden[1].want)); err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(back, c) {
		t.Errorf("read %+v, want %+v", back, c)
	}
}

// FuzzConsumerMarks: whatever is stored is read or refused, and what is read is
// written the same way.
func FuzzConsumerMarks(f *testing.F) {
	f.Add([]byte("\x01\x02\x01a\x01\x01\x03b/#\x0e\xac\x02"))
	f.Add([]byte("\x01\x01\xe8\x07\xe0\xd4\x03\x80\xd0\x95\xff\xbc1\x02\x05\x00\xd9\x07\nstate"))
	f.Add([]byte{})
	f.Add([]byte{2, 0})
	f.Add([]byte("\x01\x00\x05\x00\x00\xff\xff\xff\xff\x0f\x01\x00"))
	f.Fuzz(func(t *testing.T, b []byte) {
		var c, again consumer
		if c.define(b) == nil {
			if err := again.define(c.definition().Value); err != nil || !reflect.DeepEqual(c.filters, again.filters) {
				t.Errorf("%v became %v, %v", c.filters, again.filters, err)
			}
		}
		c, again = consumer{}, consumer{}
		if c.place(b) == nil {
			for _, r := range c.open {
				if r.First == 0 || r.Last > c.through || r.Last < r.First {
					t.Errorf("open up to %d: %v", c.through, c.open)
				}
			}
			if err := again.place(c.position(0).Value); err != nil || again.through != c.through || !bytes.Equal(again.state, c.state) || !reflect.DeepEqual(again.open, c.open) {
				t.Errorf("%+v became %+v, %v", c.cursor, again.cursor, err)
			}
		}
	})
}

// One that is stuck holds up nobody: what others have acknowledged leaves, also
// from the disk.
func TestAStuckConsumerPinsNothing(t *testing.T) {
	d := startDesk(t, newTestStore(), nil)
	stuck, busy := newReceiver(), newReceiver()
	ts, tb := d.join("stuck", stuck, 2).Token, d.join("busy", busy, 500).Token
	d.subscribe(ts, 1, "both")
	d.subscribe(tb, 1, "#")
	payload := bytes.Repeat([]byte("x"), 1000)
	entries := make([]persistence.Entry, 500)
	for i := range entries {
		entries[i] = persistence.Entry{Message: types.Message{Topic: "busy", Payload: payload, QoS: 1}}
	}
	mustPut(t, d.queue, "both", 3)
	seen := 0
	for range 60 { // 30 MB
		if _, err := d.queue.Put(soon(t), entries); err != nil {
			t.Fatal(err)
		}
		busy.wait(t, "messages", func() bool { return len(busy.got) >= 500 })
		busy.mu.Lock()
		var done []types.Seq
		for _, g := range busy.got {
			done = append(done, g.Seq)
		}
		seen += len(done)
		busy.got = nil
		busy.mu.Unlock()
		d.acknowledge(tb, done...)
	}
	for {
		busy.mu.Lock()
		left := 60*500 + 3 - seen - len(busy.got)
		var done []types.Seq
		for _, g := range busy.got {
			done = append(done, g.Seq)
		}
		seen += len(done)
		busy.got = nil
		busy.mu.Unlock()
		if d.acknowledge(tb, done...); left == 0 {
			break
		}
		busy.wait(t, "the rest", func() bool { return len(busy.got) > 0 })
	}
	d.pending(3)
	for more := true; more; {
		did, err := Ask(soon(t), d.queue.Ref, func(r Reply[persistence.Compaction]) QueueMessage { return Compact{1 << 20, r} })
		if err != nil {
			t.Fatal(err)
		}
		more = did.More
	}
	if disk := d.queue.State().DiskBytes; disk > 17<<20 { // two segments of 8 MiB
		t.Errorf("%d MiB are taken for 3 messages", disk>>20)
	}
	if stuck.payloads(t, 2); len(stuck.got) != 2 {
		t.Errorf("the stuck one was given %d messages, want 2", len(stuck.got))
	}
}
