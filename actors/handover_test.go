package actors

import (
	"fmt"
	"testing"
	"time"

	"github.com/mqttdb/mqttdb/types"
)

// A connection that takes another's place, as a reload has it, with a lower QoS
// and another window: what was begun with QoS 2 is finished with QoS 2, once, and
// the rest leaves as is configured now.
func TestHandoverOfHandshakes(t *testing.T) {
	for _, test := range []struct {
		name   string
		most   types.QoS
		window int
		want   string // payload/QoS as they arrived
	}{
		{"lower QoS", 1, 5, "[0/2 1/2 2/2 3/2 4/2 5/1 6/1 7/1]"},
		{"smaller window", 2, 1, "[0/2 1/2 2/2 3/2 4/2 5/2 6/2 7/2]"},
		{"larger window", 2, 8, "[0/2 1/2 2/2 3/2 4/2 5/2 6/2 7/2]"},
	} {
		t.Run(test.name, func(t *testing.T) {
			var before *Connection
			g := newGateway(t, func(_ *QueueConfig, c *ConnectionConfig) {
				if c.After = before; before != nil {
					c.MaxQoS, c.QoS2Window = test.most, test.window
				}
			})
			g.start()
			g.broker.Withhold(true)
			for i := range 8 {
				g.put(2, fmt.Sprint(i))
			}
			if err := g.broker.WaitFor(soon(t), 5); err != nil {
				t.Fatal(err)
			}
			left, err := Ask(soon(t), g.conn.Ref, func(r Reply[int]) ConnectionMessage { return Finish{Within: time.Millisecond, Reply: r} })
			if err != nil || left != 5 {
				t.Fatalf("%d are left in flight, %v", left, err)
			}
			before = g.conn
			stop(t, before.Ref)
			g.broker.Withhold(false)
			g.connect()
			g.drained()
			var got []string
			for _, m := range g.broker.Published() {
				got = append(got, fmt.Sprintf("%s/%d", m.Payload, m.QoS))
			}
			if fmt.Sprint(got) != test.want {
				t.Errorf("%v arrived, want %s", got, test.want)
			}
		})
	}
}
