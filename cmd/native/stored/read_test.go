//go:build !js

package stored

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/mqttdb/mqttdb/archive"
	"github.com/mqttdb/mqttdb/persistence"
	"github.com/mqttdb/mqttdb/persistence/nutsdb"
	"github.com/mqttdb/mqttdb/types"
)

// read is what Read yields, as text, and what it says is damaged.
func read(t *testing.T, dir string, e types.Extract) (text string, damaged []error) {
	t.Helper()
	var list []string
	err := Read(t.Context(), dir, e, func(err error) { damaged = append(damaged, err) }, func(m *archive.Message) error {
		if m.Queue != e.Queue || m.Connection != "cloud" || len(m.Store) != 32 {
			t.Errorf("message %d of %s %s, store %s", m.Seq, m.Connection, m.Queue, m.Store)
		}
		list = append(list, strings.TrimSpace(fmt.Sprint(m.Seq, " ", m.Cause)))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return strings.Join(list, ","), damaged
}

// Each kind of message goes by its name; what is abandoned is not to be sent again, and
// what is released may have to be.
func TestReadKinds(t *testing.T) {
	root := t.TempDir()
	s, err := nutsdb.Open(root, nutsdb.Options{})
	if err != nil {
		t.Fatal(err)
	}
	q, err := s.Open(t.Context(), "cloud/outgoing")
	if err != nil {
		t.Fatal(err)
	}
	var c persistence.Commit
	for range 8 {
		c.Messages = append(c.Messages, persistence.Entry{Enqueued: time.Now(), Message: types.Message{Topic: "a/b", QoS: 2}})
	}
	if _, err := q.Write(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	one := func(seq types.Seq) persistence.Range { return persistence.Range{First: seq, Last: seq} }
	_, err = q.Write(t.Context(), persistence.Commit{
		Done: []persistence.Done{
			{Range: one(1), Reason: types.Sent}, {Range: one(2), Reason: types.Sent, Keep: true}, {Range: one(4), Reason: types.Dead, Cause: "why"},
		},
		Released:  persistence.Ranges{one(5)},
		Abandoned: []persistence.Done{{Range: one(6), Reason: types.Cleared}},
	})
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(root, "cloud", "outgoing")
	if err := Read(t.Context(), dir, types.Extract{Queue: types.Outgoing}, nil, nil); !errors.Is(err, types.ErrInUse) {
		t.Errorf("read a queue in use: %v", err)
	}
	if err := errors.Join(q.Close(t.Context()), s.Close()); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		extract types.Extract
		want    string
	}{
		{types.Extract{Queue: types.Outgoing}, "3,5,7,8"},
		{types.Extract{Queue: types.Outgoing, After: 5, Filter: "a/+"}, "7,8"},
		{types.Extract{Queue: types.Outgoing, Filter: "b"}, ""},
		{types.Extract{Queue: types.DeadLetters}, "4 why"},
		{types.Extract{Queue: types.SentMessages}, "2"},
	} {
		if got, damaged := read(t, dir, c.extract); got != c.want || len(damaged) > 0 {
			t.Errorf("%+v: %s, %v, want %s", c.extract, got, damaged, c.want)
		}
	}
	enough := errors.New("enough")
	if err := Read(t.Context(), dir, types.Extract{Queue: types.Outgoing}, nil, func(*archive.Message) error { return enough }); !errors.Is(err, enough) {
		t.Errorf("%v", err)
	}
}

// What is damaged is named, and all the rest is read.
func TestReadDamaged(t *testing.T) {
	dir, s, q := fill(t)
	q.Close(context.Background())
	s.Close()
	whole, _ := read(t, dir, types.Extract{Queue: types.Outgoing})
	data, err := filepath.Glob(filepath.Join(dir, "*.dat"))
	if err != nil || len(data) < 3 {
		t.Fatalf("%v, %v", data, err)
	}
	b, err := os.ReadFile(data[1])
	if err != nil {
		t.Fatal(err)
	}
	b[len(b)/2] ^= 1
	write(t, data[1], b)
	before := content(t, dir)
	got, damaged := read(t, dir, types.Extract{Queue: types.Outgoing})
	all, left := strings.Split(whole, ","), strings.Split(got, ",")
	if len(damaged) == 0 || len(left) >= len(all) || len(left) < len(all)-20 {
		t.Errorf("%d of %d messages, damaged %v", len(left), len(all), damaged)
	}
	there := make(map[string]bool)
	for _, seq := range all {
		there[seq] = true
	}
	for _, seq := range left {
		if !there[seq] {
			t.Errorf("message %s was not pending", seq)
		}
	}
	for path, was := range content(t, dir) {
		if string(before[path]) != string(was) {
			t.Errorf("%s has changed", path)
		}
	}
}

// killMe is set for a process that is to be killed while it imports.
const killMe = "MQTTDB_TEST_IMPORT"

const imports = 20_000

// load imports some messages, 100 at a time, and calls each when these are stored.
func load(ctx context.Context, dir string, each func(stored int)) (err error) {
	l, err := NewLoader(dir, slog.New(slog.DiscardHandler))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, l.Close(context.WithoutCancel(ctx))) }()
	for first := 1; first < imports; first += 100 {
		var list []types.Stored
		for seq := range 100 {
			list = append(list, types.Stored{Seq: types.Seq(first + seq), Store: "0a", Message: types.Message{Topic: "t", QoS: 1, Payload: fmt.Append(nil, first+seq)}})
		}
		n, err := l.Import(ctx, "cloud", types.Outgoing, list, false)
		if err != nil {
			return err
		}
		each(n)
	}
	return nil
}

// An import that is killed again and again, and then repeated, has stored each message
// once, in order; what it has said is stored was not lost.
func TestImportThatIsKilled(t *testing.T) {
	if dir := os.Getenv(killMe); dir != "" {
		if err := load(t.Context(), dir, func(stored int) { fmt.Printf("\nstored %d\n", stored) }); err != nil {
			t.Fatal(err)
		}
		return
	}
	dir, said := t.TempDir(), 0
	for kill := range 8 {
		child := exec.CommandContext(t.Context(), os.Args[0], "-test.run", "^TestImportThatIsKilled$", "-test.count=1")
		child.Env = append(os.Environ(), killMe+"="+dir)
		out, err := child.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := child.Start(); err != nil {
			t.Fatal(err)
		}
		for fresh, n := 0, 0; fresh < 300*(kill+1); said += n {
			if _, err := fmt.Fscanf(out, "\nstored %d\n", &n); err != nil {
				t.Fatalf("the child says %v", err)
			}
			fresh += n
		}
		if err := child.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		_ = child.Wait() // it was killed
	}
	rest := 0
	if err := load(t.Context(), dir, func(n int) { rest += n }); err != nil {
		t.Fatal(err)
	}
	if said == 0 || rest == 0 || rest > imports-said {
		t.Errorf("%d were stored before, %d at the end, of %d", said, rest, imports)
	}
	next := 0
	err := Read(t.Context(), filepath.Join(dir, "cloud", "outgoing"), types.Extract{Queue: types.Outgoing}, func(err error) { t.Error(err) },
		func(m *archive.Message) error {
			if next++; string(m.Message.Payload) != fmt.Sprint(next) {
				return fmt.Errorf("message %d holds %s", next, m.Message.Payload)
			}
			return nil
		})
	if err != nil || next != imports {
		t.Errorf("%d messages, %v", next, err)
	}
}
