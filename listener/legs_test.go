package listener

import (
	"bytes"
	"fmt"
	"maps"
	"testing"
	"time"

	"github.com/mqttdb/mqttdb/types"
)

// What is stored of packet ids is what is restored; those of QoS 1 are not
// stored, and of a released one its message is not.
func TestLegsAreRestored(t *testing.T) {
	l := legs{byID: map[uint16]leg{
		1: {1, legToAck, 1}, 2: {1 << 40, legAssigned, 5}, 300: {7, legToRecord, 2}, 301: {8, legReleasing, 3}, 65535: {9, legToComplete, 4},
	}}
	if got, want := fmt.Sprint(l.inOrder(legReleasing, legAssigned, legToAck)), "[1 301 2]"; got != want {
		t.Errorf("in order %s, want %s", got, want)
	}
	var back legs
	if err := back.decode(l.encode()); err != nil {
		t.Fatal(err)
	}
	want := map[uint16]leg{2: {1 << 40, legToRecord, 4}, 300: {7, legToRecord, 1}, 301: {0, legToComplete, 2}, 65535: {0, legToComplete, 3}}
	if !maps.Equal(back.byID, want) {
		t.Errorf("restored %v, want %v", back.byID, want)
	}
	for range 10 {
		if id := back.assign(1, 1); id == 0 || want[id] != (leg{}) {
			t.Errorf("packet id %d is given twice", id)
		}
	}
	if err := back.decode(nil); err != nil || len(back.byID) != 0 {
		t.Errorf("nothing stored: %v %v", back.byID, err)
	}
}

// FuzzLegs: whatever is stored is read or refused, and what is read is written the
// same way.
func FuzzLegs(f *testing.F) {
	l := legs{byID: map[uint16]leg{2: {1 << 40, legAssigned, 1}, 300: {7, legToRecord, 2}, 65535: {9, legToComplete, 3}}}
	f.Add(l.encode())
	f.Add([]byte{})
	f.Add([]byte{legsVersion})
	f.Add([]byte{legsVersion + 1, 1, 1})
	f.Add([]byte{legsVersion, 0, 1})
	f.Add([]byte{legsVersion, 1})
	f.Add([]byte{legsVersion, 0xff, 0xff, 3, 1, 1, 1})
	f.Fuzz(func(t *testing.T, b []byte) {
		var l legs
		if l.decode(b) != nil {
			if len(l.byID) > 0 {
				t.Errorf("refused, and %v is there", l.byID)
			}
			return
		}
		var again legs
		if err := again.decode(l.encode()); err != nil || !maps.Equal(l.byID, again.byID) {
			t.Errorf("%v became %v, %v", l.byID, again.byID, err)
		}
		for _, one := range l.byID {
			if one.seq == 0 && one.at == legToRecord {
				t.Error("a message without a number")
			}
		}
	})
}

// The time that a message has waited is taken off its expiry, and off the
// property that says so; what is left of the properties stays.
func TestCountDown(t *testing.T) {
	property := func(seconds byte) []byte { return []byte{1, 1, 2, 0, 0, 0, seconds} }
	tests := []struct {
		name    string
		expiry  int
		waited  int
		before  []byte
		after   []byte
		expired bool
	}{
		{name: "no expiry", waited: 100, before: []byte{1, 1}, after: []byte{1, 1}},
		{name: "some left", expiry: 10, waited: 4, before: property(10), after: property(6)},
		{name: "no properties", expiry: 10, waited: 4},
		{name: "nothing left", expiry: 10, waited: 10, before: property(10), expired: true},
		{name: "not waited", expiry: 10, before: property(10), after: property(10)},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			m := types.Message{Expiry: seconds(test.expiry), Properties: bytes.Clone(test.before)}
			if left := countDown(&m, seconds(test.waited)); left == test.expired {
				t.Fatalf("expired is %v", !left)
			}
			if !test.expired && !bytes.Equal(m.Properties, test.after) {
				t.Errorf("properties %x, want %x", m.Properties, test.after)
			}
		})
	}
}

func seconds(n int) time.Duration { return time.Duration(n) * time.Second }
