package actors

import (
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/mqttdb/mqttdb/persistence"
	"github.com/mqttdb/mqttdb/types"
)

// A consumer is stored as two marks: what it is, which changes with its
// subscriptions, and how far it is, which changes all the time. Both begin with
// the version of what follows; numbers are uvarints.
//
//	consumer/<name>  1  count, then for each subscription:
//	                 length, filter  options  from
//	cursor/<name>    1  flags  through  expiry in ms  left: Unix ms, or 0
//	                 count, then for each run of what is open:
//	                 first − end of the last one  last − first
//	                 the rest is the state of the receiver
//
// Options: bits 0-1 QoS, 2 not its own, 3 keep the retain flag. Flags: bit 0, it
// is not known what was delivered above what is open; bit 1, of what is open there
// may be messages that no subscription selects any more.
const (
	ConsumerMark = "consumer/" // begins the keys of the first, which end with the name
	cursorMark   = "cursor/"

	consumerVersion = 1
)

// definition returns what c is as a mark.
func (c *consumer) definition() persistence.Mark {
	b := []byte{consumerVersion}
	b = binary.AppendUvarint(b, uint64(len(c.filters)))
	for _, s := range c.subscriptions() {
		b = binary.AppendUvarint(b, uint64(len(s.Filter)))
		b = append(b, s.Filter...)
		options := byte(s.QoS)
		if s.NoLocal {
			options |= 4
		}
		if s.KeepRetain {
			options |= 8
		}
		b = binary.AppendUvarint(append(b, options), uint64(s.From))
	}
	return persistence.Mark{Key: ConsumerMark + c.name, Value: b}
}

// subscriptions are those of c in order of their filters.
func (c *consumer) subscriptions() []Subscription {
	list := make([]Subscription, 0, len(c.filters))
	for _, s := range c.filters {
		list = append(list, s)
	}
	slices.SortFunc(list, func(a, b Subscription) int { return strings.Compare(a.Filter, b.Filter) })
	return list
}

// position returns how far c is as a mark.
func (c *consumer) position(head types.Seq) persistence.Mark {
	b := []byte{consumerVersion, 0}
	if c.receiver != nil || c.suspects == unknownSuspects {
		b[1] = 1
	}
	if c.narrowed {
		b[1] |= 2
	}
	b = binary.AppendUvarint(b, uint64(c.upTo(head)))
	b = binary.AppendUvarint(b, uint64(c.expiry/time.Millisecond))
	left := uint64(0)
	if !c.left.IsZero() {
		left = uint64(max(1, c.left.UnixMilli()))
	}
	b = binary.AppendUvarint(b, left)
	b = binary.AppendUvarint(b, uint64(len(c.open)))
	end := types.Seq(0)
	for _, r := range c.open {
		b = binary.AppendUvarint(b, uint64(r.First-end))
		b = binary.AppendUvarint(b, uint64(r.Last-r.First))
		end = r.Last
	}
	return persistence.Mark{Key: cursorMark + c.name, Value: append(b, c.state...)}
}

// fixedBytes is what the marks of c take that do not change all the time.
func (c *consumer) fixedBytes() int {
	n := 2*len(c.name) + 64
	for f := range c.filters {
		n += len(f) + 8
	}
	return n
}

// markReader takes numbers from a mark, front to back. After the first that is
// wrong the rest are zero.
type markReader struct {
	b   []byte
	bad bool
}

func (r *markReader) uint() uint64 {
	v, n := binary.Uvarint(r.b)
	if n <= 0 || v > 1<<62 {
		r.bad, r.b = true, nil
		return 0
	}
	r.b = r.b[n:]
	return v
}

func (r *markReader) bytes(n uint64) []byte {
	if n > uint64(len(r.b)) {
		r.bad, r.b = true, nil
		return nil
	}
	b := r.b[:n]
	r.b = r.b[n:]
	return b
}

func (r *markReader) version() {
	if v := r.bytes(1); len(v) == 1 && v[0] != consumerVersion {
		r.bad, r.b = true, nil
	}
}

// define makes c what a mark says.
func (c *consumer) define(value []byte) error {
	r := markReader{b: value}
	r.version()
	count := r.uint()
	c.filters = make(map[string]Subscription)
	for ; count > 0 && !r.bad; count-- {
		s := Subscription{Filter: string(r.bytes(r.uint()))}
		options := r.bytes(1)
		s.From = types.Seq(r.uint())
		if r.bad || types.CheckFilter(s.Filter) != nil || types.TooDeep(s.Filter) || options[0]&3 == 3 {
			r.bad = true
			break
		}
		s.QoS, s.NoLocal, s.KeepRetain = types.QoS(options[0]&3), options[0]&4 != 0, options[0]&8 != 0
		c.filters[s.Filter] = s
	}
	if r.bad || len(r.b) > 0 {
		c.filters = nil
		return fmt.Errorf("consumer %q: %w", c.name, types.ErrCorrupt)
	}
	return nil
}

// place puts c where a mark says it was. left is zero if somebody had joined.
func (c *consumer) place(value []byte) error {
	r := markReader{b: value}
	r.version()
	if flags := r.bytes(1); len(flags) == 1 {
		if flags[0]&1 != 0 {
			c.suspects = unknownSuspects
		}
		c.narrowed = flags[0]&2 != 0
	}
	c.through = types.Seq(r.uint())
	c.expiry = time.Duration(r.uint()) * time.Millisecond
	if ms := r.uint(); ms > 0 {
		c.left = time.UnixMilli(int64(ms))
	}
	end := uint64(0)
	for count := r.uint(); count > 0 && !r.bad; count-- {
		gap, more := r.uint(), r.uint()
		if gap == 0 || end+gap+more > uint64(c.through) {
			r.bad = true
			break
		}
		c.open.Add(persistence.Range{First: types.Seq(end + gap), Last: types.Seq(end + gap + more)})
		end += gap + more
	}
	if r.bad || c.expiry < 0 {
		return fmt.Errorf("cursor of consumer %q: %w", c.name, types.ErrCorrupt)
	}
	if len(r.b) > 0 {
		c.state = slices.Clone(r.b)
	}
	return nil
}
