//go:build !js

package stored

import (
	"context"
	"encoding/hex"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/mqttdb/mqttdb/persistence"
	"github.com/mqttdb/mqttdb/persistence/journal"
	"github.com/mqttdb/mqttdb/persistence/nutsdb"
	"github.com/mqttdb/mqttdb/types"
)

// Inspection is what a start of the gateway would find in a queue. Sizes are in
// bytes.
type Inspection struct {
	Directory string    `json:"directory"`
	Busy      bool      `json:"busy"` // a gateway has it open: this may be a moment old
	Store     string    `json:"store"`
	Format    string    `json:"format"` // the highest version of an entry
	Next      types.Seq `json:"next"`
	Floor     types.Seq `json:"floor"` // all numbers up to here have left

	Accepted uint64            `json:"accepted"`
	Left     map[string]uint64 `json:"left"` // by reason
	Pending  uint64            `json:"pending"`
	Released uint64            `json:"released"` // QoS 2: PUBREL may have been sent
	Dead     uint64            `json:"dead_pending"`
	Kept     uint64            `json:"kept"`
	Missing  uint64            `json:"missing"` // accepted, and neither here nor gone
	Oldest   *time.Time        `json:"oldest"`

	Bytes    int64     `json:"bytes"`
	Segments []Segment `json:"segments"`
	Marks    []Mark    `json:"marks"`
	Entries  []Entry   `json:"entries,omitempty"`
	Damage   []Damage  `json:"damage"`

	DuplicatesPossible bool `json:"duplicates_possible"`
}

// Segment is a file of the log.
type Segment struct {
	ID       uint64 `json:"id"`
	Bytes    int64  `json:"bytes"`
	Entries  int    `json:"entries"`
	Messages uint64 `json:"messages"`
	Live     uint64 `json:"live"` // messages that are still needed
}

// Entry is an entry of the log.
type Entry struct {
	LSN     uint64    `json:"lsn"`
	Segment uint64    `json:"segment"`
	Kind    string    `json:"kind"` // state, batch or delta
	First   types.Seq `json:"first,omitempty"`
	Last    types.Seq `json:"last,omitempty"`
	Count   uint32    `json:"count,omitempty"`
	Live    uint32    `json:"live,omitempty"`
	Bytes   int       `json:"bytes"`
}

// Mark is what is stored beside the messages, by name and size.
type Mark struct {
	Key   string `json:"key"`
	Bytes int    `json:"bytes"`
}

// Damage is a stretch of a file that holds nothing readable, or a missing file.
type Damage struct {
	Segment uint64 `json:"segment"`
	Offset  int64  `json:"offset"`
	Bytes   int64  `json:"bytes"`
	Torn    bool   `json:"torn"` // a write that a crash cut off: nothing that was acknowledged
}

// Inspect looks at the queue in dir; entries says whether to list them.
func Inspect(ctx context.Context, dir string, entries bool) (Inspection, error) {
	v, busy, err := nutsdb.Look(ctx, dir)
	if err != nil {
		return Inspection{}, err
	}
	i := Inspection{Directory: dir, Busy: busy}
	i.state(v)
	i.log(v, entries)
	return i, v.Close()
}

func (i *Inspection) state(v *journal.View) {
	s := v.State()
	i.Store, i.Next, i.Floor = hex.EncodeToString(s.StoreID[:]), s.Next, s.Floor
	i.Accepted, i.Left = s.Counters.Accepted, make(map[string]uint64)
	for reason, n := range s.Counters.Left {
		i.Left[types.Reason(reason).String()] = n
	}
	i.Pending, i.Released, i.Dead, i.Kept, i.Missing = s.Pending(), s.Released.Count(), s.Dead, s.Kept, v.Missing()
	if !s.Oldest.IsZero() {
		i.Oldest = &s.Oldest
	}
	i.DuplicatesPossible = s.DuplicatesPossible
	i.Marks = []Mark{}
	for key, value := range v.Marks("") {
		i.Marks = append(i.Marks, Mark{printable(key), len(value)})
	}
}

// printable is a key, of which a part may be binary.
func printable(key string) string {
	if strings.ContainsFunc(key, func(r rune) bool { return r < ' ' || r == 0x7f || r == '\uFFFD' }) {
		quoted := fmt.Sprintf("%q", key)
		return quoted[1 : len(quoted)-1]
	}
	return key
}

func (i *Inspection) log(v *journal.View, entries bool) {
	i.Segments, i.Damage = []Segment{}, []Damage{}
	at := make(map[uint64]int)
	for n, s := range v.Segments() {
		i.Segments = append(i.Segments, Segment{ID: s.ID, Bytes: s.Bytes})
		i.Bytes += s.Bytes
		at[s.ID] = n
	}
	minor := uint8(0)
	for e := range v.Entries() {
		if n, ok := at[e.Segment]; ok {
			s := &i.Segments[n]
			s.Entries++
			s.Messages += uint64(e.Count)
			s.Live += uint64(e.Live)
		}
		minor = max(minor, e.Minor)
		if entries {
			i.Entries = append(i.Entries, Entry{e.LSN, e.Segment, kindOf(e), e.First, e.Last, e.Count, e.Live, e.Size})
		}
	}
	i.Format = fmt.Sprintf("%d.%d", persistence.Major, minor)
	for _, d := range v.Damage() {
		i.Damage = append(i.Damage, Damage{d.Segment, d.Offset, d.Bytes, d.Last})
	}
}

func kindOf(e journal.Found) string {
	switch {
	case e.Kind == persistence.KindState:
		return "state"
	case e.Count == 0:
		return "delta"
	}
	return "batch"
}

// Print writes i for people.
func (i *Inspection) Print(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	line := func(format string, args ...any) { fmt.Fprintf(t, format+"\n", args...) } // Flush has the error
	busy := ""
	if i.Busy {
		busy = " (in use: as it was a moment ago)"
	}
	line("%s%s", i.Directory, busy)
	line("  store\t%s, format %s", i.Store, i.Format)
	line("  pending\t%d messages%s; the next number is %d, all up to %d have left", i.Pending, since(i.Oldest), i.Next, i.Floor)
	var left []string
	for reason := range types.Reasons {
		if n := i.Left[types.Reason(reason).String()]; n > 0 {
			left = append(left, fmt.Sprintf("%d %v", n, types.Reason(reason)))
		}
	}
	line("  accepted\t%d ever: %s", i.Accepted, strings.Join(append(left, fmt.Sprintf("%d pending", i.Pending)), ", "))
	for _, n := range []struct {
		count uint64
		what  string
	}{
		{i.Released, "released (QoS 2: their handshake is under way)"}, {i.Dead, "dead letters that can be sent again"},
		{i.Kept, "kept after they were sent"}, {i.Missing, "missing: accepted, and lost to damage"},
	} {
		if n.count > 0 {
			line("  \t%d %s", n.count, n.what)
		}
	}
	if i.DuplicatesPossible {
		line("  \tdamage may have hit acknowledgements: messages may be sent twice")
	}
	if len(i.Marks) > 0 {
		var keys []string
		for _, m := range i.Marks[:min(len(i.Marks), 12)] {
			keys = append(keys, m.Key)
		}
		more := ""
		if n := len(i.Marks) - len(keys); n > 0 {
			more = fmt.Sprintf(" and %d more", n)
		}
		line("  marks\t%s%s", strings.Join(keys, ", "), more)
	}
	segments := "segments"
	if len(i.Segments) == 1 {
		segments = "segment"
	}
	line("  log\t%.1f MiB in %d %s", float64(i.Bytes)/(1<<20), len(i.Segments), segments)
	if err := t.Flush(); err != nil {
		return err
	}
	line("\n  segment\tbytes\tentries\tmessages\tlive")
	for _, s := range i.Segments {
		line("  %d\t%d\t%d\t%d\t%d", s.ID, s.Bytes, s.Entries, s.Messages, s.Live)
	}
	if len(i.Entries) > 0 {
		line("\n  entry\tsegment\tkind\tfirst\tlast\tmessages\tlive\tbytes")
		for _, e := range i.Entries {
			line("  %d\t%d\t%s\t%d\t%d\t%d\t%d\t%d", e.LSN, e.Segment, e.Kind, e.First, e.Last, e.Count, e.Live, e.Bytes)
		}
	}
	for n, d := range i.Damage {
		if n == 0 {
			line("")
		}
		line("  %s", d)
	}
	return t.Flush()
}

func since(t *time.Time) string {
	if t == nil {
		return ""
	}
	return ", the oldest of " + t.Format(time.DateTime)
}

func (d Damage) String() string {
	if d.Torn {
		return fmt.Sprintf("segment %d, byte %d: a write that was cut off, %d bytes; it had not been acknowledged", d.Segment, d.Offset, d.Bytes)
	}
	return fmt.Sprintf("segment %d, byte %d: %d bytes are damaged or missing", d.Segment, d.Offset, d.Bytes)
}
