package storetest

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/mqttdb/mqttdb/persistence"
	"github.com/mqttdb/mqttdb/types"
)

func testNumbers(t testing.TB, h Harness) {
	s := h.New(t)
	q := open(t, s)
	next := types.Seq(1)
	for i, n := range []int{1, 5, 1, 200, 3} {
		if first := write(t, q, persistence.Commit{Messages: entries(n, 10)}); first != next {
			t.Fatalf("first of commit %d is %d, want %d", i, first, next)
		}
		next += types.Seq(n)
		if first := write(t, q, persistence.Commit{}); first != 0 {
			t.Fatalf("an empty commit got number %d", first)
		}
		if i == 2 {
			write(t, q, persistence.Commit{Done: done(1, next-1, types.Sent)})
			closeAll(t, s, q)
			s = h.Kill(t, s)
			q = open(t, s)
		}
	}
	if got := q.State().Next; got != next {
		t.Fatalf("next is %d, want %d: numbers are never used again", got, next)
	}
	closeAll(t, s, q)
}

func testRoundTrip(t testing.TB, h Harness) {
	all := make([]byte, 256)
	for i := range all {
		all[i] = byte(i)
	}
	want := []persistence.Entry{
		{Message: types.Message{Topic: "a"}, Enqueued: now()},
		{Message: types.Message{Topic: "ä/€/𝄞", Payload: all, QoS: 2, Retain: true}, Enqueued: now().Add(-48 * time.Hour)},
		{Message: types.Message{Topic: strings.Repeat("x", types.MaxTopic), Payload: []byte(persistence.Magic), QoS: 1}, Enqueued: time.UnixMilli(0)},
		{Message: types.Message{Topic: "big", Payload: bytes.Repeat(all, 4096)}, Enqueued: now()},
		{Message: types.Message{Topic: "v5", Payload: []byte("x"), Expiry: 1500 * time.Millisecond, Properties: []byte{3, 0, 1, 'x'}}, Enqueued: now()},
		{Message: types.Message{Topic: "e", QoS: 1}, Enqueued: now(), Enveloped: true},
		{Message: types.Message{Topic: "r", QoS: 1}, Enqueued: now(), Original: now().Add(-20 * time.Minute)},
		{Message: types.Message{Topic: "o", QoS: 2}, Origin: types.Origin{Source: "client:x", ID: 1<<64 - 1}, Enqueued: now()},
	}
	s := h.New(t)
	if small, ok := s.(interface{ MaxValue() int }); ok && small.MaxValue() < 2<<20 {
		want[3].Message.Payload = all // its segments are too small for more
	}
	q := open(t, s)
	write(t, q, persistence.Commit{Messages: want})
	check := func(when string) {
		t.Helper()
		got := readAll(t, q)
		if len(got) != len(want) {
			t.Fatalf("%s: %d records, want %d", when, len(got), len(want))
		}
		for i, r := range got {
			if r.Seq != types.Seq(i+1) || !sameEntry(r.Entry, want[i]) {
				t.Errorf("%s: record %d came back as %.200v, want %.200v", when, i, r, want[i])
			}
		}
	}
	check("from memory")
	closeAll(t, s, q)
	s = h.Kill(t, s)
	q = open(t, s)
	check("after reopening")
	closeAll(t, s, q)
}

func testRead(t testing.TB, h Harness) {
	s := h.New(t)
	q := open(t, s)
	for range 10 {
		write(t, q, persistence.Commit{Messages: entries(10, 100)})
	}
	write(t, q, persistence.Commit{Done: done(41, 50, types.Sent)})
	seqs := func(after types.Seq, l persistence.Limit) []types.Seq {
		rs, err := q.Read(t.Context(), nil, after, l)
		if err != nil {
			t.Fatal(err)
		}
		var out []types.Seq
		for _, r := range rs {
			out = append(out, r.Seq)
		}
		return out
	}
	size := int64(entries(1, 100)[0].Message.Size())
	for _, c := range []struct {
		name  string
		after types.Seq
		limit persistence.Limit
		want  []types.Seq
	}{
		{"three", 0, persistence.Limit{Records: 3}, []types.Seq{1, 2, 3}},
		{"over a batch border", 8, persistence.Limit{Records: 4}, []types.Seq{9, 10, 11, 12}},
		{"over what is done", 39, persistence.Limit{Records: 2}, []types.Seq{40, 51}},
		{"by bytes", 20, persistence.Limit{Bytes: 2*size + 1}, []types.Seq{21, 22}},
		{"one at least", 20, persistence.Limit{Bytes: 1}, []types.Seq{21}},
		{"to the end", 97, persistence.Limit{}, []types.Seq{98, 99, 100}},
		{"behind the end", 100, persistence.Limit{}, nil},
		{"far behind the end", 1 << 40, persistence.Limit{}, nil},
	} {
		if got := seqs(c.after, c.limit); !slices.Equal(got, c.want) {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
	closeAll(t, s, q)
}

func testKept(t testing.TB, h Harness) {
	s := h.New(t)
	q := open(t, s)
	want := entries(50, 300)
	write(t, q, persistence.Commit{Messages: want})
	sentinel := persistence.Record{Seq: 99}
	kept, err := q.Read(t.Context(), []persistence.Record{sentinel}, 0, persistence.Limit{Records: 50})
	if err != nil || len(kept) != 51 || kept[0].Seq != 99 {
		t.Fatalf("read: %d records (%v), want them behind the one that was there", len(kept), err)
	}
	write(t, q, persistence.Commit{Done: done(1, 50, types.Sent)})
	for range 100 {
		write(t, q, persistence.Commit{Messages: entries(50, 300)})
	}
	compact(t, q)
	readAll(t, q)
	closeAll(t, s, q)
	for i, r := range kept[1:] {
		if !sameEntry(r.Entry, want[i]) {
			t.Fatalf("record %d has changed: %v", r.Seq, r)
		}
	}
}

func testNotUsed(t testing.TB, h Harness) {
	s := h.New(t)
	q := open(t, s)
	c := persistence.Commit{
		Messages: entries(10, 20),
		Done:     done(1, 1, types.Sent),
		Released: persistence.Ranges{{First: 3, Last: 3}},
		Marks:    []persistence.Mark{{Key: "m", Value: []byte("value")}},
	}
	write(t, q, c)
	clear(c.Messages)
	c.Done[0].Range, c.Released[0], c.Marks[0].Key = persistence.Range{First: 1, Last: 10}, persistence.Range{First: 1, Last: 10}, "other"
	copy(c.Marks[0].Value, "XXXXX")
	for _, when := range []string{"before", "after a kill"} {
		var got []string
		for _, r := range readAll(t, q) {
			got = append(got, fmt.Sprintf("%d %s %d %t", r.Seq, r.Message.Topic, len(r.Message.Payload), r.Released))
		}
		if len(got) != 9 || got[0] != "2 t/1 20 false" || got[1] != "3 t/2 20 true" {
			t.Errorf("%s: %q", when, got)
		}
		for key, value := range q.Marks("") {
			if key != "m" || string(value) != "value" {
				t.Errorf("%s: mark %q is %q", when, key, value)
			}
		}
		if when == "before" {
			s = h.Kill(t, s)
			q = open(t, s)
		}
	}
	closeAll(t, s, q)
}
