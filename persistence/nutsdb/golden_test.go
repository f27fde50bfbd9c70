//go:build !js

package nutsdb

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"testing"
	"time"

	"github.com/mqttdb/mqttdb/persistence"
	"github.com/mqttdb/mqttdb/types"
)

// goldenStores are directories of queues that some version has left. They are never
// changed, and each later version reads them (S7.5); one is added by UPDATE_GOLDEN=1 under
// the name of the present version when something new is written.
const goldenStores = "testdata/stores"

// told is what a queue says, as text that can be compared.
func told(t *testing.T, q persistence.Queue) string {
	t.Helper()
	type message struct {
		Seq, Topic, Payload, Enqueued string
		QoS                           types.QoS
		Flags                         string
		Origin                        types.Origin
	}
	var all struct {
		Store                      string
		Next, Floor                types.Seq
		Counters                   persistence.Counters
		Duplicates                 bool
		Marks                      map[string]string
		Pending, DeadLetters, Sent []message
	}
	st := q.State()
	all.Store, all.Next, all.Floor, all.Counters, all.Duplicates = fmt.Sprintf("%x", st.StoreID), st.Next, st.Floor, st.Counters, st.DuplicatesPossible
	all.Marks = map[string]string{}
	for k, v := range maps.Collect(q.Marks("")) {
		all.Marks[k] = string(v)
	}
	list := func(records []persistence.Record, err error) (out []message) {
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range records {
			out = append(out, message{
				Seq: fmt.Sprint(r.Seq), Topic: r.Message.Topic, QoS: r.Message.QoS, Origin: r.Origin,
				Payload: fmt.Sprintf("%d bytes, %08x", len(r.Message.Payload), persistence.Checksum(r.Message.Payload)), Enqueued: r.Enqueued.UTC().Format(time.RFC3339Nano),
				Flags: fmt.Sprintf("retain %t, expiry %v, properties %x, released %t, abandoned %t (%v), cause %q",
					r.Message.Retain, r.Message.Expiry, r.Message.Properties, r.Released, r.Abandoned, r.Why, r.Cause),
			})
		}
		return out
	}
	all.Pending = list(q.Read(t.Context(), nil, 0, persistence.Limit{}))
	all.DeadLetters = list(q.(persistence.DeadReader).ReadDead(t.Context(), nil, 0, persistence.Limit{}))
	all.Sent = list(q.(persistence.SentReader).ReadSent(t.Context(), nil, 0, persistence.Limit{}))
	b, err := json.MarshalIndent(all, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	return string(b) + "\n"
}

// TestGoldenStores opens the stores of earlier versions.
func TestGoldenStores(t *testing.T) {
	if os.Getenv("UPDATE_GOLDEN") != "" {
		makeGoldenStore(t, filepath.Join(goldenStores, fmt.Sprintf("%d.%d", persistence.Major, persistence.Minor)))
	}
	stores, err := os.ReadDir(goldenStores)
	if err != nil || len(stores) == 0 {
		t.Fatalf("no golden stores: %v", err)
	}
	for _, s := range stores {
		t.Run(s.Name(), func(t *testing.T) {
			golden := filepath.Join(goldenStores, s.Name())
			want := string(readFile(t, filepath.Join(golden, "told.json")))
			dir := goldenCopy(t, golden)
			for _, when := range []string{"opened", "compacted", "opened again"} {
				store := openStore(t, dir)
				q, err := store.Open(t.Context(), faultQueue)
				if err != nil {
					t.Fatal(err)
				}
				if got := told(t, q); got != want {
					t.Errorf("%s: it says\n%s\nwant\n%s", when, got, want)
				}
				for more := when == "opened"; more; {
					did, err := q.(persistence.Compacter).Compact(t.Context(), 1<<20)
					if err != nil {
						t.Fatal(err)
					}
					more = did.More
				}
				if err := store.Close(); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}

// A store that a newer version wrote is refused, and not a byte of it is changed.
func TestNewerStoreIsRefused(t *testing.T) {
	stores, err := os.ReadDir(goldenStores)
	if err != nil {
		t.Fatal(err)
	}
	golden := filepath.Join(goldenStores, stores[len(stores)-1].Name())
	queue := func(dir string) string { return filepath.Join(dir, filepath.FromSlash(faultQueue)) }
	// entries makes all entries newer, and what has been noted of them.
	entries := func(t *testing.T, dir string) {
		names, err := list(dir)
		if err != nil {
			t.Fatal(err)
		}
		for _, id := range names.data {
			path := segmentFile(dir, id, dataSuffix)
			b := readFile(t, path)
			var w window
			w.reset(bytes.NewReader(bytes.Clone(b)), int64(len(b)))
			for _, found := range scan(&w, nil).entries {
				h, _ := parseEntryHeader(b[found.offset:])
				if h.delete {
					continue
				}
				e := b[found.offset : found.offset+h.total()]
				head := e[h.length+keySize:]
				head[4] = persistence.Major + 1
				binary.LittleEndian.PutUint32(head[60:], persistence.Checksum(head[:60]))
				binary.LittleEndian.PutUint32(e, crc32.ChecksumIEEE(e[4:]))
			}
			writeFile(t, path, b)
		}
		for _, suffix := range []string{sealSuffix, hintSuffix} {
			files, _ := filepath.Glob(filepath.Join(dir, "*"+suffix))
			for _, path := range files {
				if err := os.Remove(path); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	record := func(t *testing.T, dir string) {
		path := filepath.Join(dir, storeName)
		f, err := decodeStoreFile(readFile(t, path))
		if err != nil {
			t.Fatal(err)
		}
		f.record = slices.Clone(f.record)
		f.record[4] = persistence.Major + 1
		binary.LittleEndian.PutUint32(f.record[28:], persistence.Checksum(f.record[:28]))
		writeFile(t, path, f.encode())
	}
	for _, c := range []struct {
		name string
		make func(t *testing.T, dir string)
	}{
		{"its record", record},
		{"its entries", entries},
		{"all of it", func(t *testing.T, dir string) { record(t, dir); entries(t, dir) }},
		{"its entries, and the record is gone", func(t *testing.T, dir string) {
			entries(t, dir)
			if err := os.Remove(filepath.Join(dir, storeName)); err != nil {
				t.Fatal(err)
			}
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := goldenCopy(t, golden)
			c.make(t, queue(dir))
			before := snapshot(t, dir)
			store := openStore(t, dir)
			for range 2 {
				var told *types.StoreError
				_, err := store.Open(t.Context(), faultQueue)
				if !errors.Is(err, types.ErrNewerFormat) || !errors.As(err, &told) {
					t.Errorf("open: %v", err)
				}
			}
			if after := snapshot(t, dir); before != after {
				t.Errorf("it was changed from\n%s\nto\n%s", before, after)
			}
		})
	}
}

func goldenCopy(t *testing.T, golden string) string {
	dir := filepath.Join(t.TempDir(), "store")
	if err := os.CopyFS(dir, os.DirFS(filepath.Join(golden, "data"))); err != nil {
		t.Fatal(err)
	}
	return dir
}

// makeGoldenStore makes one with everything in it that a queue can hold: segments of
// several lives, sealed and not, what was written again, deletions as the first
// versions wrote them, and a last write that a kill cut off.
func makeGoldenStore(t *testing.T, to string) {
	ctx, dir := t.Context(), filepath.Join(t.TempDir(), "store")
	at := func(n int) time.Time { return time.UnixMilli(1_700_000_000_000 + int64(n)) }
	n := 0
	var store *Store
	var q persistence.Queue
	open := func() {
		var err error
		if store, err = Open(dir, Options{SegmentSize: 8 << 10}); err != nil {
			t.Fatal(err)
		}
		store.deletes = true
		if q, err = store.Open(ctx, faultQueue); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := os.Stat(to); err == nil {
		t.Fatalf("%s is there: it is never changed", to)
	}
	write := func(c persistence.Commit) types.Seq {
		first, err := q.Write(ctx, c)
		if err != nil {
			t.Fatal(err)
		}
		return first
	}
	fill := func(messages int) {
		for range messages {
			n++
			m := types.Message{Topic: fmt.Sprintf("plant/%d/ä", n%7), Payload: []byte(fmt.Sprint("message ", n, string(make([]byte, n%90)))), QoS: types.QoS(n % 3), Retain: n%11 == 0}
			if n%13 == 0 {
				m.Properties, m.Expiry = []byte{3, 0, 1, 'x'}, time.Hour
			}
			first := write(persistence.Commit{Messages: []persistence.Entry{{Message: m, Origin: types.Origin{Source: "client:x", ID: uint64(n)}, Enqueued: at(n)}}})
			r := persistence.Range{First: first, Last: first}
			switch n % 9 {
			case 1, 2, 3:
				write(persistence.Commit{Done: []persistence.Done{{Range: r, Reason: types.Sent, Keep: n%2 == 0}}})
			case 4:
				write(persistence.Commit{Done: []persistence.Done{{Range: r, Reason: types.Dead, Cause: "too large"}}})
			case 5:
				write(persistence.Commit{Done: []persistence.Done{{Range: r, Reason: types.Reason(1 + n%3)}}})
			case 6:
				write(persistence.Commit{Marks: []persistence.Mark{{Key: fmt.Sprint("mark/", n%5), Value: []byte(fmt.Sprint(n))}}})
			case 8:
				if m.QoS == 2 {
					write(persistence.Commit{Released: persistence.Ranges{r}, Abandoned: []persistence.Done{{Range: r, Reason: types.Cleared}}})
				}
			}
		}
	}
	for life := range 3 {
		open()
		fill(122)
		if life == 2 {
			break // killed
		}
		for more := true; more; {
			did, err := q.(persistence.Compacter).Compact(ctx, 4<<10)
			if err != nil {
				t.Fatal(err)
			}
			more = did.More
		}
		if err := store.Close(); err != nil {
			t.Fatal(err)
		}
	}
	text := told(t, q)
	fill(1)
	if err := os.CopyFS(filepath.Join(to, "data"), os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	store.Close()
	queue := filepath.Join(to, "data", filepath.FromSlash(faultQueue))
	for _, name := range []string{lockName, flockName, reserveName} {
		if err := removeIfThere(filepath.Join(queue, name)); err != nil {
			t.Fatal(err)
		}
	}
	all := places(t, queue)
	last := all[len(all)-1]
	path := segmentFile(queue, last.segment, dataSuffix)
	b := readFile(t, path)
	clear(b[last.end()-20:])
	writeFile(t, path, b)
	// The numbers that the last write may have had are left out.
	store = openStore(t, goldenCopy(t, to))
	if q, err := store.Open(ctx, faultQueue); err != nil {
		t.Fatal(err)
	} else if again := told(t, q); apart(again) != apart(text) {
		t.Fatalf("it says\n%s\nbefore the end\n%s", again, text)
	} else {
		writeFile(t, filepath.Join(to, "told.json"), []byte(again))
	}
}

// apart is what a queue says without the number of its next message.
func apart(told string) string { return regexp.MustCompile(`"Next": \d+`).ReplaceAllString(told, "") }
