// Package nedb reads the files in which the nodes before mqttdb kept what was not
// acknowledged: mqtt.js with the stores of mqtt-nedb-store, on NeDB. A file is a log of
// JSON documents, one in each line; of several with one _id the last one counts.
//
//	{"_id":17,"packet":{"cmd":"publish","topic":"a/b","payload":{"0":50,"1":49},"qos":1,"messageId":17}}
//	{"$$deleted":true,"_id":17}
//
// The _id is the packet id. A document may also be the packet itself.
package nedb

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"

	"github.com/mqttdb/mqttdb/archive"
	"github.com/mqttdb/mqttdb/types"
)

// maxLine is the longest line that is read, in bytes: 7 MiB of payload at
// `"1234567":255,` each.
const maxLine = 128 << 20

// File is such a file. It has one user at a time.
type File struct {
	// Finished is how many messages at QoS 2 the broker has, and only their handshake was
	// not over: they are not in the file any more. Other is how many documents are no
	// messages.
	Finished, Other int

	r       io.ReadSeeker
	source  string
	records []record // in the order in which they were stored
	damaged []*archive.LineError
}

// record is a document that counts.
type record struct {
	id    string
	line  uint64
	start int64
	size  int
	sum   [sha256.Size]byte // of what it holds
	cmd   string
}

// document is a line.
type document struct {
	ID      json.RawMessage `json:"_id"`
	Deleted bool            `json:"$$deleted"`
	Created json.RawMessage `json:"$$indexCreated"`
	Removed json.RawMessage `json:"$$indexRemoved"`
	Packet  *packet         `json:"packet"`
	packet
}

// packet is one of mqtt.js.
type packet struct {
	Command string          `json:"cmd"`
	Topic   string          `json:"topic"`
	Payload json.RawMessage `json:"payload"`
	QoS     types.QoS       `json:"qos"`
	Retain  bool            `json:"retain"`
}

// Is says whether a line looks like one of NeDB.
func Is(line []byte) bool {
	var d document
	return json.Unmarshal(line, &d) == nil && (len(d.ID) > 0 || len(d.Created) > 0 || len(d.Removed) > 0)
}

// Open reads all of r, and keeps of it where the messages lie. What cannot be read is
// left out, and comes as errors of Next.
func Open(r io.ReadSeeker) (*File, error) {
	if _, err := r.Seek(0, io.SeekStart); err != nil {
		return nil, err
	}
	f := &File{r: r}
	hash := sha256.New()
	lines := archive.NewLines(io.TeeReader(r, hash), maxLine)
	live := make(map[string]record)
	for {
		b, err := lines.Next()
		var bad *archive.LineError
		switch {
		case err == io.EOF:
			f.source = "nedb:" + hex.EncodeToString(hash.Sum(nil))
			f.collect(live)
			return f, nil
		case errors.As(err, &bad):
			f.damaged = append(f.damaged, bad)
		case err != nil:
			return nil, err
		default:
			if err := note(live, b, lines); err != nil {
				f.damaged = append(f.damaged, &archive.LineError{Line: lines.Number(), Err: err})
			}
		}
	}
}

// note takes in a line.
func note(live map[string]record, b []byte, lines *archive.Lines) error {
	if len(bytes.TrimSpace(b)) == 0 {
		return nil
	}
	var d document
	if err := json.Unmarshal(b, &d); err != nil {
		return fmt.Errorf("%w: %v", types.ErrCorrupt, err)
	}
	id := string(bytes.Trim(d.ID, `"`)) // NeDB takes 5 and "5" for the same
	switch {
	case len(d.ID) == 0 && (len(d.Created) > 0 || len(d.Removed) > 0): // of an index
		return nil
	case len(d.ID) == 0:
		return fmt.Errorf("%w: it has no _id", types.ErrCorrupt)
	case d.Deleted:
		delete(live, id)
		return nil
	}
	p := d.of()
	r := record{id: id, line: lines.Number(), start: lines.Start(), size: len(b), sum: p.sum(), cmd: p.Command}
	if before, there := live[id]; there && before.sum == r.sum {
		return nil // mqtt.js stores what it sends again
	}
	live[id] = r
	return nil
}

func (d *document) of() *packet {
	if d.Packet != nil {
		return d.Packet
	}
	return &d.packet
}

// sum tells packets apart: all but what says that it was sent before.
func (p *packet) sum() [sha256.Size]byte {
	b := fmt.Appendf(nil, "%q %q %d %t ", p.Command, p.Topic, p.QoS, p.Retain)
	return sha256.Sum256(append(b, p.Payload...))
}

// collect lists the messages.
func (f *File) collect(live map[string]record) {
	for _, r := range live {
		switch r.cmd {
		case "publish":
			f.records = append(f.records, r)
		case "pubrel", "pubrec", "pubcomp":
			f.Finished++
		default:
			f.Other++
		}
	}
	slices.SortFunc(f.records, func(a, b record) int { return int(a.line) - int(b.line) })
}

// Len is how many messages there are.
func (f *File) Len() int { return len(f.records) }

// Damaged is how many lines could not be read.
func (f *File) Damaged() int { return len(f.damaged) }

// SortByID puts the messages in the order of their packet ids instead of that in
// which they lie in the file: when it is compacted NeDB writes it anew in the order of its
// keys, so that what came behind 65,535 lies first. The largest gap between the ids is
// taken for where they begin. Messages without such an id stay behind.
func (f *File) SortByID() {
	ids := make(map[string]int, len(f.records))
	var sorted []int
	for _, r := range f.records {
		n, err := strconv.ParseUint(r.id, 10, 16)
		if err != nil {
			ids[r.id] = 2 * idSpace
			continue
		}
		ids[r.id] = int(n)
		sorted = append(sorted, int(n))
	}
	slices.Sort(sorted)
	first := firstOf(sorted)
	place := func(r record) int {
		if n := ids[r.id]; n < first {
			return n + idSpace
		} else {
			return n
		}
	}
	slices.SortStableFunc(f.records, func(a, b record) int { return place(a) - place(b) })
}

// idSpace is how many packet ids there are.
const idSpace = 1 << 16

// firstOf is the number behind the largest gap between sorted numbers that go round.
func firstOf(sorted []int) int {
	first, largest := 0, 0
	for i, n := range sorted {
		gap := n - sorted[(i+len(sorted)-1)%len(sorted)]
		if i == 0 {
			gap += idSpace
		}
		if gap > largest {
			first, largest = n, gap
		}
	}
	return first
}

// Next implements archive.Source: first come the errors of what is damaged.
func (f *File) Next() (archive.Message, error) {
	if len(f.damaged) > 0 {
		bad := f.damaged[0]
		f.damaged = f.damaged[1:]
		return archive.Message{}, bad
	}
	if len(f.records) == 0 {
		return archive.Message{}, io.EOF
	}
	r := f.records[0]
	f.records = f.records[1:]
	if _, err := f.r.Seek(r.start, io.SeekStart); err != nil {
		return archive.Message{}, err
	}
	b := make([]byte, r.size)
	if _, err := io.ReadFull(f.r, b); err != nil {
		return archive.Message{}, fmt.Errorf("the file has changed: %w", err)
	}
	var d document
	if err := json.Unmarshal(b, &d); err != nil || d.of().sum() != r.sum {
		return archive.Message{}, errors.New("the file has changed since it was opened: stop the program that uses it")
	}
	p := d.of()
	payload, err := decodePayload(p.Payload)
	if err != nil {
		return archive.Message{}, &archive.LineError{Line: r.line, Err: err}
	}
	return archive.Message{Stored: types.Stored{
		Seq: types.Seq(r.line), Store: f.source,
		Message: types.Message{Topic: p.Topic, Payload: payload, QoS: p.QoS, Retain: p.Retain},
	}}, nil
}
