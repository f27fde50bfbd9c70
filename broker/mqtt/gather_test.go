package mqtt

import (
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mqttdb/mqttdb/broker"
	"github.com/mqttdb/mqttdb/types"
)

// acknowledging is a broker that writes each acknowledgement by itself.
type acknowledging struct {
	*peer
	link broker.Link
}

// publish hands n messages to the link, with packet ids from first on.
func (a acknowledging) publish(n, first int, qos types.QoS, until time.Time) {
	var list []broker.Publish
	for id := first; id < first+n; id++ {
		list = append(list, broker.Publish{ID: uint16(id), Message: types.Message{Topic: "t", QoS: qos}, Until: until})
	}
	if err := a.link.Publish(list); err != nil {
		a.t.Error(err)
	}
	synctest.Wait()
}

// acks lets the broker answer n of them.
func (a acknowledging) acks(packet byte, first, n int) {
	for id := first; id < first+n; id++ {
		a.says(packet, 2, byte(id>>8), byte(id))
		synctest.Wait()
	}
}

// later is when PUBACKs have been gathered for long enough. A bubble has its own clock.
func (a acknowledging) later() {
	<-time.After(gatherTime)
	synctest.Wait()
}

// PUBACKs that the broker writes one by one are told together while it has plenty to
// do, and none of them late.
func TestGather(t *testing.T) {
	const puback, pubrec = 0x40, 0x50
	for _, test := range []struct {
		name string
		run  func(a acknowledging)
		want []string
	}{
		{"a quarter of what is under way", func(a acknowledging) {
			a.publish(100, 1, 1, time.Time{})
			a.acks(puback, 1, 45) // the first one, 25 of 99, and 19 of the 74 that are left
		}, []string{"acked 1", "acked 25", "acked 19"}},
		{"little is under way", func(a acknowledging) {
			a.publish(4, 1, 1, time.Time{})
			a.acks(puback, 1, 4)
		}, []string{"acked 1", "acked 1", "acked 1", "acked 1"}},
		{"the broker goes no further", func(a acknowledging) {
			a.publish(100, 1, 1, time.Time{})
			a.acks(puback, 1, 4)
			a.later()
		}, []string{"acked 1", "acked 3"}},
		{"the broker is slow", func(a acknowledging) {
			a.publish(100, 1, 1, time.Time{})
			for id := range 3 {
				a.acks(puback, 1+id, 1)
				a.later()
			}
		}, []string{"acked 1", "acked 1", "acked 1"}},
		{"a PUBREC does not wait", func(a acknowledging) {
			a.publish(100, 1, 1, time.Time{})
			a.publish(2, 101, 2, time.Time{})
			a.acks(puback, 1, 4)
			a.acks(pubrec, 101, 2)
		}, []string{"acked 1", "acked 4", "acked 1"}},
		{"the broker hangs up", func(a acknowledging) {
			a.publish(100, 1, 1, time.Time{})
			a.acks(puback, 1, 4)
			a.conn.Close()
		}, []string{"acked 1", "acked 3", "down"}},
		{"we hang up", func(a acknowledging) {
			a.publish(100, 1, 1, time.Time{})
			a.acks(puback, 1, 4)
			a.link.Close(false)
			a.later()
		}, []string{"acked 1", "acked 3", "down"}},
		{"what was withheld is not under way", func(a acknowledging) {
			a.publish(100, 1, 1, time.Now())
			a.publish(2, 101, 1, time.Time{})
			a.acks(puback, 101, 2)
		}, []string{"withheld 100", "acked 1", "acked 1"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p, link := connect(t, nil, options())
				test.run(acknowledging{p, link})
				synctest.Wait()
				var told []string
				p.mu.Lock()
				for _, e := range p.events {
					switch e := e.(type) {
					case broker.Acked:
						told = append(told, fmt.Sprintf("acked %d", len(e.Acks)))
					case broker.Withheld:
						told = append(told, fmt.Sprintf("withheld %d", len(e.Tags)))
					case broker.Down:
						told = append(told, "down")
					}
				}
				p.mu.Unlock()
				if !slices.Equal(told, test.want) {
					t.Errorf("told %q, want %q", told, test.want)
				}
				link.Close(false)
				p.down()
			})
		})
	}
}
