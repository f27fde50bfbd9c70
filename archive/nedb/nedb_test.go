package nedb_test

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/mqttdb/mqttdb/archive"
	"github.com/mqttdb/mqttdb/archive/nedb"
	"github.com/mqttdb/mqttdb/types"
)

func open(t *testing.T, name string) (*nedb.File, []byte) {
	t.Helper()
	b, err := os.ReadFile("testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	f, err := nedb.Open(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	return f, b
}

// messages reads all of f, as text, and the errors in it.
func messages(t *testing.T, f *nedb.File) (list []string, damaged []uint64) {
	t.Helper()
	for {
		m, err := f.Next()
		var bad *archive.LineError
		switch {
		case err == io.EOF:
			return list, damaged
		case errors.As(err, &bad):
			damaged = append(damaged, bad.Line)
			continue
		case err != nil:
			t.Fatal(err)
		}
		retain := ""
		if m.Message.Retain {
			retain = " retain"
		}
		list = append(list, fmt.Sprintf("%d %s %d%s %q", m.Seq, m.Message.Topic, m.Message.QoS, retain, m.Message.Payload))
	}
}

func expect(t *testing.T, f *nedb.File, damaged []uint64, want ...string) {
	t.Helper()
	got, bad := messages(t, f)
	if !slices.Equal(got, want) || !slices.Equal(bad, damaged) {
		t.Errorf("read\n%s\nand lines %v are damaged, want\n%s\nand %v", strings.Join(got, "\n"), bad, strings.Join(want, "\n"), damaged)
	}
}

func bytes256() string {
	b := make([]byte, 256)
	for i := range b {
		b[i] = byte(i)
	}
	return fmt.Sprintf("%q", b)
}

// Files that mqtt.js and NeDB have written, see testdata/make.js: what was acknowledged
// is gone, what the broker has and only its handshake is open is not sent again.
func TestFilesOfTheOldNodes(t *testing.T) {
	for _, c := range []struct {
		name            string
		finished, other int
		lines           []int // of the messages, in order
	}{
		{"outgoing.db", 1, 0, []int{2, 3, 5, 6, 7, 8}},
		{"compacted.db", 1, 0, []int{1, 2, 4, 5, 6, 7}},
	} {
		t.Run(c.name, func(t *testing.T) {
			f, b := open(t, c.name)
			if f.Finished != c.finished || f.Other != c.other || f.Len() != len(c.lines) || f.Damaged() != 0 {
				t.Errorf("%+v", f)
			}
			want := []string{
				`sensors/1 1 "21.5 °C \"quoted\"\n"`, "sensors/größe 1 " + bytes256(), `sensors/2 2 "never answered"`,
				`sensors/3 1 retain ""`, `sensors/3 1 ""`, `sensors/5 1 "text in a Buffer"`,
			}
			for i := range want {
				want[i] = fmt.Sprint(c.lines[i], " ", want[i])
			}
			expect(t, f, nil, want...)
			again, _ := open(t, c.name)
			m, err := again.Next()
			if want := fmt.Sprintf("nedb:%x", sha256.Sum256(b)); err != nil || m.Store != want || int(m.Seq) != c.lines[0] {
				t.Errorf("%s %d, %v, want %s", m.Store, m.Seq, err, want)
			}
		})
	}
}

// An id that was used again is another message, behind; what was sent twice is one.
func TestReusedIDs(t *testing.T) {
	f, _ := open(t, "reused.db")
	if f.Finished != 0 || f.Other != 1 {
		t.Errorf("%d finished, %d others", f.Finished, f.Other)
	}
	expect(t, f, nil, `2 t 1 "sent twice"`, `3 t 1 "the new one"`, `6 t 1 "\x00\xff\n"`)
}

// A compacted file lies in the order of the packet ids, which go round: that can be
// undone.
func TestOrderOfIDs(t *testing.T) {
	payloads := func(f *nedb.File) (s string) {
		list, _ := messages(t, f)
		for _, m := range list {
			s += m[len(m)-2 : len(m)-1]
		}
		return s
	}
	for _, c := range []struct{ name, stored, sorted string }{
		{"round.db", "01234567", "01234567"},
		{"round-compacted.db", "56701234", "01234567"},
	} {
		f, _ := open(t, c.name)
		g, _ := open(t, c.name)
		g.SortByID()
		if stored, sorted := payloads(f), payloads(g); stored != c.stored || sorted != c.sorted {
			t.Errorf("%s: %s as stored, %s sorted; want %s, %s", c.name, stored, sorted, c.stored, c.sorted)
		}
	}
}

// Only what is hit is lost, and named.
func TestDamagedFiles(t *testing.T) {
	f, _ := open(t, "damaged.db")
	expect(t, f, []uint64{3, 10},
		`2 sensors/1 1 "21.5 °C \"quoted\"\n"`, `4 sensors/2 2 "done but for PUBCOMP"`, `5 sensors/2 2 "never answered"`,
		`6 sensors/3 1 retain ""`, `7 sensors/3 1 ""`, `8 sensors/5 1 "text in a Buffer"`)
	f, _ = open(t, "zeroed.db")
	if f.Len() == 0 || f.Damaged() == 0 {
		t.Errorf("%d messages, %d damaged lines", f.Len(), f.Damaged())
	}
}

// Payloads that no Buffer makes, and documents that hold none.
func TestPayloads(t *testing.T) {
	for _, c := range []struct {
		name, document string
		want           string // as of messages
		damaged        bool
	}{
		{"none", `{"_id":1,"packet":{"cmd":"publish","topic":"t","qos":1}}`, `1 t 1 ""`, false},
		{"null", `{"_id":1,"packet":{"cmd":"publish","topic":"t","qos":1,"payload":null}}`, `1 t 1 ""`, false},
		{"the packet itself", `{"_id":"x","cmd":"publish","topic":"t","qos":1,"payload":"p","messageId":1}`, `1 t 1 "p"`, false},
		{"a Buffer that was copied", `{"_id":1,"packet":{"cmd":"publish","topic":"t","qos":1,"payload":{"type":"Buffer","data":{"0":255}}}}`, `1 t 1 "\xff"`, false},
		{"an empty Buffer", `{"_id":1,"packet":{"cmd":"publish","topic":"t","qos":1,"payload":{"type":"Buffer","data":[]}}}`, `1 t 1 ""`, false},
		{"a number", `{"_id":1,"packet":{"cmd":"publish","topic":"t","qos":1,"payload":5}}`, "", true},
		{"more than a byte", `{"_id":1,"packet":{"cmd":"publish","topic":"t","qos":1,"payload":{"0":256}}}`, "", true},
		{"half a byte", `{"_id":1,"packet":{"cmd":"publish","topic":"t","qos":1,"payload":{"type":"Buffer","data":[0.5]}}}`, "", true},
		{"a hole", `{"_id":1,"packet":{"cmd":"publish","topic":"t","qos":1,"payload":{"0":1,"2":3}}}`, "", true},
		{"another object", `{"_id":1,"packet":{"cmd":"publish","topic":"t","qos":1,"payload":{"a":1}}}`, "", true},
		{"no key", `{"packet":{"cmd":"publish"}}`, "", true},
		{"QoS 300", `{"_id":1,"packet":{"cmd":"publish","topic":"t","qos":300}}`, "", true},
		{"no JSON", `{"_id":1`, "", true},
	} {
		t.Run(c.name, func(t *testing.T) {
			f, err := nedb.Open(strings.NewReader(c.document))
			if err != nil {
				t.Fatal(err)
			}
			got, damaged := messages(t, f)
			if strings.Join(got, "") != c.want || len(damaged) > 0 != c.damaged {
				t.Errorf("%v, damaged %v", got, damaged)
			}
		})
	}
}

func TestIs(t *testing.T) {
	for line, want := range map[string]bool{
		`{"_id":1}`: true, `{"$$indexCreated":{"fieldName":"a"}}`: true, `{"$$deleted":true,"_id":"a"}`: true,
		`{}`: false, `[]`: false, ``: false, `{"mqttdb":1,"seq":1}`: false, `_id`: false,
	} {
		if nedb.Is([]byte(line)) != want {
			t.Errorf("%s: not %v", line, want)
		}
	}
}

// Whatever lies in a file, reading it ends, and yields messages with numbers of lines.
func FuzzOpen(f *testing.F) {
	for _, name := range []string{"outgoing.db", "reused.db", "damaged.db", "zeroed.db", "round-compacted.db"} {
		b, err := os.ReadFile("testdata/" + name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		file, err := nedb.Open(bytes.NewReader(in))
		if err != nil {
			t.Fatal(err)
		}
		file.SortByID()
		for {
			m, err := file.Next()
			var bad *archive.LineError
			switch {
			case err == io.EOF:
				return
			case errors.As(err, &bad) && errors.Is(err, types.ErrCorrupt):
			case err != nil:
				t.Fatal(err)
			case m.Seq == 0 || int(m.Seq) > bytes.Count(in, []byte("\n"))+1:
				t.Fatalf("message %d", m.Seq)
			}
		}
	})
}
