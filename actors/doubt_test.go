package actors

import (
	"testing"

	"github.com/mqttdb/mqttdb/persistence"
	"github.com/mqttdb/mqttdb/types"
)

func TestWindowMarks(t *testing.T) {
	for _, n := range []int{1, 100, 1000, packetIDs} {
		marks := windows{all: n, exact: n / 2}.marks(windows{})
		if got := windowsOf(append(marks, mark("session/broker", "x"))); got != (windows{n, n / 2}) {
			t.Errorf("%d and %d read as %+v", n, n/2, got)
		}
	}
	for _, m := range []persistence.Mark{mark(markWindow, ""), mark(markWindow, "\xff"), mark("other", "\x05")} {
		if got := windowsOf([]persistence.Mark{m}); got != (windows{}) {
			t.Errorf("%q reads as %+v", m.Value, got)
		}
	}
	if got := (windows{100, 20}).marks(windows{200, 10}); len(got) != 1 || got[0].Key != markWindow2 {
		t.Errorf("the larger one of both is kept: %v", got)
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
