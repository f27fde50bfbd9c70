//go:build !js

package prove

import (
	"testing"

	"github.com/mqttdb/mqttdb/types"
)

// What each kind of harm does to the verdict: the ledger sees it.
func TestLedgerSeesHarm(t *testing.T) {
	run := runID{1, 2, 3}
	message := func(number int) types.Message {
		return types.Message{Topic: "t", Payload: payload(run, numbered, number)}
	}
	tests := []struct {
		name   string
		qos    types.QoS
		harm   func([]types.Message) []types.Message
		says   string // the complaint
		copies int
	}{
		{"none", 2, func(m []types.Message) []types.Message { return m }, "", 0},
		{"one is lost", 1, func(m []types.Message) []types.Message { return append(m[:4], m[5:]...) }, "acknowledged and lost: 1 message (number 4)", 0},
		{"the first and the last are lost", 1, func(m []types.Message) []types.Message { return m[1:9] }, "acknowledged and lost: 2 messages (number 0, 9)", 0},
		{"all are lost", 1, func(m []types.Message) []types.Message { return nil }, "acknowledged and lost: 10 messages (number 0 to 9)", 0},
		{"one comes twice at QoS 2", 2, func(m []types.Message) []types.Message { return append(m, m[3]) }, "came more than once: 1 message (number 3)", 1},
		{"one comes thrice", 2, func(m []types.Message) []types.Message { return append(m, m[3], m[3]) }, "came more than once: 1 message (number 3)", 2},
		{"what was published twice may come twice at QoS 1", 1, func(m []types.Message) []types.Message { return append(m, m[9]) }, "", 1},
		{"but not two such at once", 1, func(m []types.Message) []types.Message { return append(m, m[8], m[9]) }, "came more than once: 2 messages (number 8 to 9)", 2},
		{"two change places", 2, func(m []types.Message) []types.Message {
			m[2], m[3] = m[3], m[2]
			return m
		}, "came late: 1 message (number 2)", 0},
		{"the first comes last", 2, func(m []types.Message) []types.Message { return append(m[1:], m[0]) }, "came late: 1 message (number 0)", 0},
		{"a byte is changed", 2, func(m []types.Message) []types.Message {
			m[5].Payload[payloadHead-1] ^= 1
			return m
		}, "acknowledged and lost: 1 message (number 5); 1 that nobody published like that", 0},
		{"one is cut short", 2, func(m []types.Message) []types.Message {
			m[5].Payload = m[5].Payload[:payloadHead]
			return m
		}, "acknowledged and lost: 1 message (number 5); 1 that nobody published like that", 0},
		{"one is on another topic", 2, func(m []types.Message) []types.Message {
			m[5].Topic = "u"
			return m
		}, "acknowledged and lost: 1 message (number 5); 1 that nobody published like that", 0},
		{"one is of another run", 2, func(m []types.Message) []types.Message {
			return append(m, types.Message{Topic: "t", Payload: payload(runID{9}, numbered, 1)})
		}, "1 that nobody published like that", 0},
		{"one was never published", 2, func(m []types.Message) []types.Message { return append(m, message(10)) }, "1 that nobody published like that", 0},
		{"each second one is lost", 1, func(m []types.Message) []types.Message {
			return []types.Message{m[1], m[3], m[5], m[7], m[9]}
		}, "acknowledged and lost: 5 messages (number 0, 2, 4, 6, 8)", 0},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			l := newLedger(run, "t", 10)
			var all []types.Message
			for n := range 10 {
				l.given(n)
				l.acknowledged(n)
				all = append(all, message(n))
			}
			if l.given(9); test.qos == 2 {
				l.entries[9].sent = 1
			}
			for _, m := range test.harm(all) {
				l.delivered(&m, false)
			}
			v := l.judge()
			if v.complaint() != test.says || v.copies != test.copies || v.Proven() != (test.says == "") {
				t.Errorf("%q, %d copies, proven %v, want %q, %d", v.complaint(), v.copies, v.Proven(), test.says, test.copies)
			}
		})
	}
}

// What was not acknowledged may be missing, but then nothing is proven.
func TestLedgerAsksForAll(t *testing.T) {
	l := newLedger(runID{}, "t", 1)
	l.given(0)
	if v := l.judge(); v.Lost.Count != 0 || v.Proven() {
		t.Errorf("%+v", v)
	}
}

// What the broker says that it may have delivered before, and has, is not the
// gateway's repetition; what it has not is no repetition at all.
func TestLedgerForgivesTheBroker(t *testing.T) {
	run := runID{7}
	l := newLedger(run, "t", 1)
	l.given(0)
	l.acknowledged(0)
	m := types.Message{Topic: "t", Payload: payload(run, numbered, 0)}
	l.delivered(&m, true)
	l.delivered(&m, true)
	if v := l.judge(); v.RepeatedByBroker != 1 || v.copies != 0 || !v.Proven() {
		t.Errorf("%+v", v)
	}
	l.delivered(&m, false)
	if v := l.judge(); v.copies != 1 || v.Proven() {
		t.Errorf("%+v", v)
	}
}

func TestNumbers(t *testing.T) {
	tests := []struct {
		name string
		add  []int
		want string
	}{
		{"one", []int{7}, "1 message (number 7)"},
		{"a range", []int{7, 8, 9}, "3 messages (number 7 to 9)"},
		{"five", []int{1, 3, 5, 7, 9}, "5 messages (number 1, 3, 5, 7, 9)"},
		{"more", []int{1, 3, 5, 7, 9, 11, 13}, "7 messages (number 1, 3, 5, 7, 9, …)"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			var n Numbers
			for _, number := range test.add {
				n.add(number)
			}
			if n.String() != test.want {
				t.Errorf("%s, want %s", n.String(), test.want)
			}
		})
	}
	for n, want := range map[int]string{0: "0", 999: "999", 1000: "1,000", 20000: "20,000", 1234567: "1,234,567", -1000: "-1,000"} {
		if thousands(n) != want {
			t.Errorf("%s, want %s", thousands(n), want)
		}
	}
}
