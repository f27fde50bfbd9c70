package actors

import (
	"testing"

	"github.com/mqttdb/mqttdb/persistence"
	"github.com/mqttdb/mqttdb/types"
)

func TestWindowMark(t *testing.T) {
	for _, n := range []int{1, 100, 1000, packetIDs} {
		if got := windowOf([]persistence.Mark{mark("session/broker", "x"), windowMark(n)}); got != n {
			t.Errorf("%d reads as %d", n, got)
		}
	}
	for _, m := range []persistence.Mark{mark(markWindow, ""), mark(markWindow, "\xff"), mark("other", "\x05")} {
		if got := windowOf([]persistence.Mark{m}); got != 0 {
			t.Errorf("%q reads as %d", m.Value, got)
		}
	}
}

// Of the messages that were there before, as many are doubtful as the window had
// that was used; a later link changes nothing about it.
func TestDoubt(t *testing.T) {
	for _, test := range []struct {
		first types.Seq
		want  string
	}{{5, "???...."}, {9, "??....."}, {11, "......."}} {
		d := doubt{upTo: 10}
		d.linked(3)
		got := ""
		for seq := test.first; seq < test.first+7; seq++ {
			if seq == test.first+2 {
				d.linked(5)
			}
			if d.about(seq) {
				got += "?"
			} else {
				got += "."
			}
		}
		if got != test.want {
			t.Errorf("from %d on: %s, want %s", test.first, got, test.want)
		}
	}
}
