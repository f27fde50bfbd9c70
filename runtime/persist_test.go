package runtime_test

import (
	"fmt"
	"testing"

	"github.com/mqttdb/mqttdb/config"
	"github.com/mqttdb/mqttdb/types"
)

// S3.4: a session that went on while a queue was not in use is not the one that the
// queue knows: the packet ids of that one may be taken by other messages.
func TestSessionOfAQueueThatWasAway(t *testing.T) {
	on, off := config.On, config.Off
	for _, eras := range [][3]config.Switch{{on, off, on}, {off, on, off}} {
		t.Run(fmt.Sprint(eras), func(t *testing.T) {
			r := newRelay(t)
			r.config.Connections[0].ClientID = "gw"
			n := 0
			begin := func(outgoing config.Switch) {
				r.config.Connections[0].Persist.Outgoing = outgoing
				if r.rt == nil {
					r.start()
				} else {
					r.kill(r.store.Kill())
				}
			}
			publish := func(count int) {
				t.Helper()
				for range count {
					n++
					if _, err := r.rt.Connection("a").Publish(t.Context(), types.Message{Topic: "out", Payload: fmt.Append(nil, n), QoS: 2}); err != nil {
						t.Fatal(err)
					}
				}
				r.arrived("a", n)
			}
			begin(eras[0])
			publish(3)
			await(t, r.rt, "all to be over", func(s []types.Status) bool { return s[0].Outgoing.Pending == 0 })
			begin(eras[1])
			r.brokers["a"].Withhold(true)
			publish(5) // the broker waits for PUBREL
			r.brokers["a"].Down()
			r.brokers["a"].Withhold(false)
			begin(eras[2])
			r.brokers["a"].Up()
			await(t, r.rt, "a link", online("a"))
			n++
			if _, err := r.rt.Connection("a").Publish(t.Context(), types.Message{Topic: "last", QoS: 2}); err != nil {
				t.Fatal(err)
			}
			if err := r.brokers["a"].WaitFor(t.Context(), n); err != nil {
				t.Fatal(err)
			}
			await(t, r.rt, "all to be over", func(s []types.Status) bool { return s[0].Outgoing.Pending == 0 })
			list := r.brokers["a"].Published()
			if got := list[len(list)-1].Topic; got != "last" {
				t.Errorf("what was published last has not arrived: %d messages", len(list))
			}
		})
	}
}

// S4.2: nor are packet ids of what comes in, where that was not stored for a while: a
// message that the broker sends again is not taken for one of then.
func TestPacketIDsOfAQueueThatWasAway(t *testing.T) {
	r := newRelay(t)
	r.start()
	r.publish(1, 3)
	await(t, r.rt, "all to be done", func(s []types.Status) bool { return s[0].Incoming.Sent == 3 })
	count := func() (n int) {
		q, err := r.store.Open(t.Context(), "a/incoming")
		if err != nil {
			t.Fatal(err)
		}
		for range q.Marks("packet/") {
			n++
		}
		if err := q.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		return n
	}
	r.close()
	if n := count(); n < 3 {
		t.Fatalf("%d marks of packet ids", n)
	}
	r.config.Connections[0].Persist.Incoming = config.Off
	r.start()
	r.close()
	if n := count(); n != 0 {
		t.Errorf("%d marks of packet ids are left", n)
	}
}
