package nutsdb

import (
	"errors"
	"io/fs"
	"math/rand/v2"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/mqttdb/mqttdb/persistence"
	"github.com/mqttdb/mqttdb/types"
)

// diskUse is what all files below dir take of the disk, in bytes.
func diskUse(t testing.TB, dir string) (n int64) {
	t.Helper()
	err := filepath.WalkDir(dir, func(_ string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		info, err := e.Info()
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		} else if err != nil {
			return err
		}
		n += info.Sys().(*syscall.Stat_t).Blocks * 512
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// pattern is a way in which a queue is used, of which something is left.
type pattern struct {
	name    string
	segment int64 // its size; 0: the real one
	use     func(u *user)
}

// user uses a queue.
type user struct {
	t    testing.TB
	dir  string
	r    *rand.Rand
	s    *Store
	q    persistence.Queue
	last types.Seq
}

func (u *user) open(segment int64) {
	var err error
	if u.s, err = Open(u.dir, Options{SegmentSize: segment}); err != nil {
		u.t.Fatal(err)
	}
	if u.q, err = u.s.Open(u.t.Context(), faultQueue); err != nil {
		u.t.Fatal(err)
	}
}

func (u *user) write(c persistence.Commit) {
	first, err := u.q.Write(u.t.Context(), c)
	if err != nil {
		u.t.Fatal(err)
	}
	if n := len(c.Messages); n > 0 {
		u.last = first + types.Seq(n-1)
	}
}

// put stores messages, so many in each commit.
func (u *user) put(messages, size, at int) {
	for ; messages > 0; messages -= at {
		c := persistence.Commit{Messages: make([]persistence.Entry, min(at, messages))}
		for i := range c.Messages {
			c.Messages[i].Message = types.Message{Topic: "sensors/t", Payload: make([]byte, size), QoS: 1}
		}
		u.write(c)
	}
}

// done lets every so many-th message of a run leave, each by itself if it is not all.
func (u *user) done(first, last types.Seq, every types.Seq) {
	if every == 1 {
		u.write(persistence.Commit{Done: []persistence.Done{{Range: persistence.Range{First: first, Last: last}, Reason: types.Sent}}})
		return
	}
	var c persistence.Commit
	for s := first; s <= last; s += every {
		c.Done = append(c.Done, persistence.Done{Range: persistence.Range{First: s, Last: s}, Reason: types.Cleared})
		if len(c.Done) == 1000 {
			u.write(c)
			c.Done = c.Done[:0]
		}
	}
	u.write(c)
}

// interval is what the compactor does in each.
func (u *user) interval() {
	for more := true; more; {
		did, err := u.q.(persistence.Compacter).Compact(u.t.Context(), 256<<10)
		if err != nil {
			u.t.Fatal(err)
		}
		more = did.More
	}
}

// live is what is stored and needed, in bytes: the messages, as they are encoded, and
// the marks.
func (u *user) live() (n int64) {
	var enc persistence.Encoder
	var after types.Seq
	for {
		records, err := u.q.Read(u.t.Context(), nil, after, persistence.Limit{Records: 10_000, Bytes: 4 << 20})
		if err != nil {
			u.t.Fatal(err)
		}
		if len(records) == 0 {
			break
		}
		after = records[len(records)-1].Seq
		b := persistence.Batch{Kind: persistence.KindBatch, First: records[0].Seq, Last: after, Records: records}
		n += int64(len(enc.Encode(&b)) - persistence.HeaderSize)
	}
	for key, value := range u.q.Marks("") {
		n += int64(len(key) + len(value))
	}
	return n
}

func patterns() []pattern {
	const small = 1 << 20
	transit := func(u *user, rounds, messages, size, at int) {
		for range rounds {
			first := u.last + 1
			u.put(messages, size, at)
			u.done(first, u.last, 1)
		}
	}
	return []pattern{
		{"nothing is left", small, func(u *user) { transit(u, 40, 1000, 200, 100) }},
		{"one stuck message", small, func(u *user) { u.put(1, 200, 1); transit(u, 40, 1000, 200, 100) }},
		{"every second cleared", small, func(u *user) { u.put(60_000, 200, 250); u.done(1, u.last, 2) }},
		{"every tenth left", small, func(u *user) {
			u.put(60_000, 200, 250)
			for s := types.Seq(1); s < 10; s++ {
				u.done(s, u.last, 10)
			}
		}},
		{"tiny messages, one by one", small, func(u *user) { u.put(30_000, 4, 1) }},
		{"tiny messages, every second cleared", small, func(u *user) { u.put(300_000, 4, 500); u.done(1, u.last, 2) }},
		{"marks only", small, func(u *user) {
			for i := range 20_000 {
				u.write(persistence.Commit{Marks: []persistence.Mark{{Key: string(rune('a' + i%20)), Value: make([]byte, 300)}}})
			}
		}},
		{"large marks", small, func(u *user) {
			for range 100 {
				u.write(persistence.Commit{Marks: []persistence.Mark{{Key: "large", Value: make([]byte, 200<<10)}}})
				u.put(1, 100, 1)
			}
		}},
		{"1 MiB messages", 0, func(u *user) { u.put(80, 1<<20, 1); u.done(1, u.last, 2) }},
		{"1 MiB messages, and the acknowledgements of tiny ones", 0, func(u *user) {
			for range 30 {
				u.put(1, 1<<20, 1)
				first := u.last + 1
				u.put(100, 10, 1)
				u.done(first, u.last, 1)
			}
		}},
		{"many short lives", small, func(u *user) {
			u.put(1000, 100, 100)
			for range 60 {
				if err := u.s.Close(); err != nil {
					u.t.Fatal(err)
				}
				u.open(small)
				u.put(1, 100, 1)
				if u.q.State().CompactionDue {
					u.interval()
				}
			}
		}},
		{"all kinds", small, func(u *user) {
			for range 60 {
				switch first := u.last + 1; u.r.IntN(4) {
				case 0:
					u.put(1+u.r.IntN(2000), u.r.IntN(500), 1+u.r.IntN(300))
				case 1:
					transit(u, 3, 500, 300, 50)
				case 2:
					if first > 1 {
						u.done(1+types.Seq(u.r.Uint64N(uint64(first))), u.last, 2+types.Seq(u.r.IntN(3)))
					}
				default:
					u.interval()
				}
			}
		}},
	}
}

// S7.3: whatever was stored and has left, two intervals later the queue takes at most
// 1.2 times what is live, two segments, and its reserve for a full disk.
func TestDiskUse(t *testing.T) {
	for _, p := range patterns() {
		t.Run(p.name, func(t *testing.T) {
			u := &user{t: t, dir: t.TempDir(), r: rand.New(rand.NewPCG(1, 1))}
			u.open(p.segment)
			defer func() { u.s.Close() }()
			p.use(u)
			before := diskUse(t, u.dir)
			u.interval()
			u.interval()
			const blocksOfFew = 64 << 10 // STORE, LOCK and the like, and what is set aside to be written
			size := max(p.segment, SegmentSize*int64(1-min(p.segment, 1)))
			live := u.live()
			used, most := diskUse(t, u.dir), live*12/10+2*size+min(reserveSize, size/4)+blocksOfFew
			t.Logf("%8d KiB live, %8d KiB before, %8d KiB after, %8d KiB allowed", live>>10, before>>10, used>>10, most>>10)
			if used > most {
				t.Errorf("it takes %d bytes, and %d are live: %d are allowed", used, live, most)
			}
			if said := int64(u.q.State().DiskBytes); said > used || used-said > live/50+2*size/4+max(reserveSize, min(used/4, size)) { // the reserve grows with the log
				t.Errorf("it takes %d bytes, and says %d", used, said)
			}
		})
	}
}
