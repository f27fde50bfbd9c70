package storetest

import (
	"fmt"
	"slices"
	"testing"

	"github.com/mqttdb/mqttdb/persistence"
	"github.com/mqttdb/mqttdb/types"
)

func testDone(t testing.TB, h Harness) {
	s := h.New(t)
	q := open(t, s)
	write(t, q, persistence.Commit{Messages: entries(20, 10)})
	write(t, q, persistence.Commit{Done: done(5, 8, types.Sent)})
	write(t, q, persistence.Commit{Done: done(7, 10, types.Cleared)}) // 7 and 8 are done already
	write(t, q, persistence.Commit{Done: done(15, 400, types.Expired)})
	check := func(when string) {
		t.Helper()
		st := q.State()
		c := st.Counters
		if c.Accepted != 20 || c.Left[types.Sent] != 4 || c.Left[types.Cleared] != 2 || c.Left[types.Expired] != 6 || st.Pending() != 8 || st.Floor != 0 {
			t.Errorf("%s: %+v", when, st)
		}
	}
	check("before")
	closeAll(t, s, q)
	s = h.Kill(t, s)
	q = open(t, s)
	check("after reopening")
	write(t, q, persistence.Commit{Done: done(1, 4, types.Sent)})
	if f := q.State().Floor; f != 10 {
		t.Errorf("the floor is %d, want 10", f)
	}
	closeAll(t, s, q)
}

func testCommit(t testing.TB, h Harness) {
	s := h.New(t)
	q := open(t, s)
	write(t, q, persistence.Commit{
		Messages:  entries(5, 10),
		Done:      done(2, 2, types.Dropped),
		Released:  persistence.Ranges{{First: 3, Last: 4}},
		Abandoned: done(4, 5, types.Cleared),
		Marks:     []persistence.Mark{{Key: "m/1", Value: []byte("one")}, {Key: "m/2", Value: []byte{0}}, {Key: "n", Value: []byte("x")}},
	})
	write(t, q, persistence.Commit{Marks: []persistence.Mark{{Key: "m/2"}, {Key: "m/0", Value: []byte("zero")}}})
	for _, when := range []string{"before", "after a kill"} {
		var marks []string
		for k, v := range q.Marks("m/") {
			marks = append(marks, k+"="+string(v))
		}
		if !slices.Equal(marks, []string{"m/0=zero", "m/1=one"}) {
			t.Errorf("%s: marks %q", when, marks)
		}
		var got []string
		for _, r := range readAll(t, q) {
			got = append(got, fmt.Sprint(r.Seq, r.Released, r.Abandoned))
		}
		if want := []string{"1 false false", "3 true false", "4 true true", "5 false true"}; !slices.Equal(got, want) {
			t.Errorf("%s: %q, want %q", when, got, want)
		}
		if when == "before" {
			s = h.Kill(t, s)
			q = open(t, s)
		}
	}
	write(t, q, persistence.Commit{Done: done(1, 5, types.Sent)})
	if st := q.State(); len(st.Released) != 0 || st.Done.Count() != 0 || st.Floor != 5 && !(h.Lazy && st.Floor == st.Next-1) {
		t.Errorf("what is done is still released: %+v", st)
	}
	closeAll(t, s, q)
}

func testHandshakes(t testing.TB, h Harness) {
	s := h.New(t)
	q := open(t, s)
	write(t, q, persistence.Commit{Messages: entries(20, 10)})
	write(t, q, persistence.Commit{Done: done(5, 6, types.Sent)})
	write(t, q, persistence.Commit{
		Released:  persistence.Ranges{{First: 4, Last: 8}, {First: 19, Last: 30}}, // 5 and 6 are done, 21 does not exist
		Abandoned: []persistence.Done{done(7, 9, types.Expired)[0], done(9, 10, types.Cleared)[0]},
	})
	want := []string{"1", "2", "3", "4 released", "7 released expired", "8 released expired", "9 expired", "10 cleared",
		"11", "12", "13", "14", "15", "16", "17", "18", "19 released", "20 released"}
	released := persistence.Ranges{{First: 4, Last: 4}, {First: 7, Last: 8}, {First: 19, Last: 20}}
	for _, when := range []string{"at first", "after a kill", "after a close", "after a compaction", "withdrawn", "withdrawn, after a kill", "some done", "some done, after a kill"} {
		switch when {
		case "withdrawn": // but for those that are abandoned; the last one again
			write(t, q, persistence.Commit{Withdrawn: persistence.Ranges{{First: 1, Last: 40}}})
			write(t, q, persistence.Commit{Released: persistence.Ranges{{First: 20, Last: 20}}})
			want[3], want[len(want)-2] = "4", "19"
			released = persistence.Ranges{{First: 7, Last: 8}, {First: 20, Last: 20}}
		case "after a kill", "withdrawn, after a kill", "some done, after a kill":
			s = h.Kill(t, s)
			q = open(t, s)
		case "after a close":
			closeAll(t, s, q)
			s = h.Kill(t, s)
			q = open(t, s)
		case "after a compaction":
			compact(t, q)
		case "some done":
			write(t, q, persistence.Commit{Done: append(done(1, 7, types.Sent), done(9, 20, types.Sent)...)})
			want, released = []string{"8 released expired"}, persistence.Ranges{{First: 8, Last: 8}}
		}
		var got []string
		for _, r := range readAll(t, q) {
			line := fmt.Sprint(r.Seq)
			if r.Released {
				line += " released"
			}
			if r.Abandoned {
				line += " " + r.Why.String()
			}
			got = append(got, line)
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s: %q, want %q", when, got, want)
		}
		if st := q.State(); !slices.Equal(st.Released, released) {
			t.Errorf("%s: released %v, want %v", when, st.Released, released)
		}
	}
	closeAll(t, s, q)
}

func testMarks(t testing.TB, h Harness) {
	s := h.New(t)
	q := open(t, s)
	all := map[string]string{"a": "1", "a/": "2", "a/\x00": "3", "a/b": "4", "a/\xff": "5", "b": "\x00\xff", "ä": "6", "": "no key"}
	for key, value := range all {
		write(t, q, persistence.Commit{Marks: []persistence.Mark{{Key: key, Value: []byte("old")}}})
		write(t, q, persistence.Commit{Marks: []persistence.Mark{{Key: key, Value: []byte(value)}}})
	}
	write(t, q, persistence.Commit{Marks: []persistence.Mark{{Key: "a/gone", Value: []byte("x")}, {Key: "a/gone"}, {Key: "never"}}})
	for _, when := range []string{"at first", "after a kill", "after a close"} {
		for prefix, want := range map[string][]string{
			"":     {"", "a", "a/", "a/\x00", "a/b", "a/\xff", "b", "ä"},
			"a/":   {"a/", "a/\x00", "a/b", "a/\xff"},
			"b":    {"b"},
			"none": nil,
		} {
			var got []string
			for key, value := range q.Marks(prefix) {
				got = append(got, key)
				if string(value) != all[key] {
					t.Errorf("%s: mark %q is %q, want %q", when, key, value, all[key])
				}
			}
			if !slices.Equal(got, want) {
				t.Errorf("%s: marks %q are %q, want %q", when, prefix, got, want)
			}
		}
		for range q.Marks("a") {
			break // the rest is not wanted
		}
		if when == "at first" {
			s = h.Kill(t, s)
		} else {
			closeAll(t, s, q)
			s = h.Kill(t, s)
		}
		q = open(t, s)
	}
	closeAll(t, s, q)
}
