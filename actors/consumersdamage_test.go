package actors

import (
	"testing"

	"github.com/mqttdb/mqttdb/persistence"
)

// Guarantee 9: where damage took what a consumer has subscribed to there is no such
// consumer, so that its client subscribes again; one whose cursor it took gets all
// that is its own.
func TestConsumersAfterDamage(t *testing.T) {
	for _, c := range []struct {
		name    string
		mark    persistence.Mark // what damage made of it
		present bool
	}{
		{"no subscriptions", persistence.Mark{Key: ConsumerMark + "a"}, false},
		{"unreadable subscriptions", persistence.Mark{Key: ConsumerMark + "a", Value: []byte{consumerVersion, 9}}, false},
		{"no cursor", persistence.Mark{Key: cursorMark + "a"}, true},
		{"an unreadable cursor", persistence.Mark{Key: cursorMark + "a", Value: []byte{consumerVersion}}, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := startDesk(t, newTestStore(), nil)
			d.subscribe(d.join("a", newReceiver(), 10).Token, 1, "t")
			mustPut(t, d.queue, "t", 2)
			d.stop()
			q, err := d.store.Open(t.Context(), "_local/outgoing")
			if err != nil {
				t.Fatal(err)
			}
			if _, err := q.Write(t.Context(), persistence.Commit{Marks: []persistence.Mark{c.mark}}); err != nil {
				t.Fatal(err)
			}
			if err := q.Close(t.Context()); err != nil {
				t.Fatal(err)
			}
			d = startDesk(t, d.store, nil)
			r := newReceiver()
			if j := d.join("a", r, 10); j.Present != c.present {
				t.Fatalf("present: %v", j.Present)
			}
			if c.present {
				r.payloads(t, 2)
			}
		})
	}
}
