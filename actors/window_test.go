package actors

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/mqttdb/mqttdb/broker"
	"github.com/mqttdb/mqttdb/persistence"
	"github.com/mqttdb/mqttdb/types"
)

func run(first, last types.Seq) persistence.Ranges {
	return persistence.Ranges{{First: first, Last: last}}
}

// S3.1
func TestPacketID(t *testing.T) {
	for seq, want := range map[types.Seq]uint16{1: 2, 59999: 60000, 60000: 1, 60001: 2, 119999: 60000, 120000: 1} {
		if got := packetID(seq); got != want {
			t.Errorf("packetID(%d) = %d, want %d", seq, got, want)
		}
	}
}

func TestWindowFits(t *testing.T) {
	tests := []struct {
		name  string
		w     window
		sizes []int // in flight, seqs from 1
		seq   types.Seq
		size  int
		want  bool
	}{
		{"empty", window{count: 1, bytes: 10}, nil, 1, 5, true},
		{"one message is always allowed", window{count: 1, bytes: 10}, nil, 1, 500, true},
		{"count reached", window{count: 2}, []int{1, 1}, 3, 1, false},
		{"count not reached", window{count: 3}, []int{1, 1}, 3, 1, true},
		{"bytes reached", window{count: 9, bytes: 10}, []int{5, 5}, 3, 1, false},
		{"bytes just enough", window{count: 9, bytes: 10}, []int{5, 4}, 3, 1, true},
		{"id is free", window{count: 9}, []int{1}, 60000, 1, true},
		{"id is taken", window{count: 9}, []int{1}, 60001, 1, false},
		{"id of an earlier round", window{count: 9}, []int{1}, 60002, 1, false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			w := test.w
			for i, size := range test.sizes {
				w.add(types.Seq(i+1), size, 1, time.Time{})
			}
			if got := w.fits(test.seq, test.size, 1); got != test.want {
				t.Errorf("fits = %v, want %v", got, test.want)
			}
		})
	}
}

func TestWindowAcknowledgements(t *testing.T) {
	ack, rec, comp := broker.PubAck, broker.PubRec, broker.PubComp
	tests := []struct {
		name     string
		qos      types.QoS
		acks     []broker.Ack // for seq 1 to 3 in flight
		finished []types.Seq
		unknown  uint64
	}{
		{"in order", 1, []broker.Ack{{Kind: ack, ID: 2}, {Kind: ack, ID: 3}}, []types.Seq{1, 2}, 0},
		{"out of order", 1, []broker.Ack{{Kind: ack, ID: 4}, {Kind: ack, ID: 2}}, []types.Seq{3, 1}, 0},
		{"twice", 1, []broker.Ack{{Kind: ack, ID: 2}, {Kind: ack, ID: 2}}, []types.Seq{1}, 1},
		{"nothing has that id", 1, []broker.Ack{{Kind: ack, ID: 5}}, nil, 1},
		{"id 0", 1, []broker.Ack{{Kind: ack}}, nil, 1},
		{"the id of a SUBSCRIBE", 1, []broker.Ack{{Kind: ack, ID: subscribeID}}, nil, 1},
		{"PUBREC for QoS 1", 1, []broker.Ack{{Kind: rec, ID: 2}}, nil, 1},
		{"PUBCOMP for QoS 1", 1, []broker.Ack{{Kind: comp, ID: 2}}, nil, 1},
		{"PUBACK for QoS 2", 2, []broker.Ack{{Kind: ack, ID: 2}}, nil, 1},
		{"PUBACK for QoS 0", 0, []broker.Ack{{Kind: ack, ID: 2}}, nil, 1},
		{"PUBCOMP before PUBREL", 2, []broker.Ack{{Kind: rec, ID: 2}, {Kind: comp, ID: 2}}, nil, 1},
		{"PUBREC twice", 2, []broker.Ack{{Kind: rec, ID: 2}, {Kind: rec, ID: 2}}, nil, 0},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			w := window{count: 10}
			for seq := types.Seq(1); seq <= 3; seq++ {
				w.add(seq, 1, test.qos, time.Time{})
			}
			var over []types.Seq
			for _, a := range test.acks {
				if seq, what := w.acked(a); what == finished {
					over = append(over, seq)
				}
			}
			if !slices.Equal(over, test.finished) || w.unknown != test.unknown {
				t.Errorf("finished %v, unknown %d; want %v, %d", over, w.unknown, test.finished, test.unknown)
			}
			if w.used != 3 || w.open != 3-len(test.finished) {
				t.Errorf("used %d, open %d: a place is freed only when it is recorded", w.used, w.open)
			}
		})
	}
}

func TestWindowQoS2(t *testing.T) {
	w := window{count: 10}
	w.add(7, 1, 2, time.Time{})
	if w.releasing(7) {
		t.Error("released before PUBREC")
	}
	if seq, what := w.acked(broker.Ack{Kind: broker.PubRec, ID: 8}); seq != 7 || what != taken {
		t.Errorf("PUBREC: %d, %v", seq, what)
	}
	if !w.releasing(7) {
		t.Error("not released after PUBREC")
	}
	if seq, what := w.acked(broker.Ack{Kind: broker.PubComp, ID: 8}); what != finished || seq != 7 {
		t.Errorf("PUBCOMP finished %d, %v", seq, what)
	}
}

// QoS 2 has a window of its own within the other.
func TestWindowOfQoS2(t *testing.T) {
	w := window{count: 4, exact: 2}
	w.add(1, 1, 2, time.Time{})
	w.add(2, 1, 1, time.Time{})
	w.resume(3, 1, types.Cleared, time.Time{})
	if w.fits(4, 1, 2) || !w.fits(4, 1, 1) {
		t.Error("two with QoS 2 are in flight: there is room for QoS 1 and not for QoS 2")
	}
	if seq, what := w.acked(broker.Ack{Kind: broker.PubComp, ID: packetID(3)}); seq != 3 || what != finished || w.reasonOf(3) != types.Cleared {
		t.Errorf("PUBCOMP finished %d, %v, as %v", seq, what, w.reasonOf(3))
	}
	if w.fits(4, 1, 2) {
		t.Error("the place is free before that is recorded")
	}
	w.settled(run(3, 3))
	if !w.fits(4, 1, 2) {
		t.Error("no room")
	}
	w.leave(4, 1, types.Cleared)
	w.linkLost()
	if w.used != 1 || w.used2 != 0 || w.open != 0 {
		t.Errorf("used %d and %d, open %d: only what has left is kept", w.used, w.used2, w.open)
	}
}

func TestWindowWritten(t *testing.T) {
	w := window{count: 10}
	for seq := types.Seq(1); seq <= 5; seq++ {
		w.add(seq, 1, types.QoS(seq%2), time.Time{}) // 2 and 4 at QoS 0
	}
	var set persistence.Ranges
	w.written(3, &set)
	w.written(3, &set)
	if !slices.Equal(set, run(2, 2)) {
		t.Errorf("written up to 3: %v", set)
	}
	w.written(5, &set)
	if set.Count() != 2 || !set.Contains(4) {
		t.Errorf("written up to 5: %v", set)
	}
}

func TestWindowAfterALostLink(t *testing.T) {
	w := window{count: 10}
	for seq := types.Seq(1); seq <= 5; seq++ {
		w.add(seq, 1, 1, time.Time{})
	}
	w.acked(broker.Ack{Kind: broker.PubAck, ID: packetID(2)})
	w.acked(broker.Ack{Kind: broker.PubAck, ID: packetID(4)})
	w.refused(5)
	w.linkLost()
	if w.used != 3 || w.open != 0 || w.holds(1) || !w.holds(2) || w.holds(3) || !w.holds(4) {
		t.Errorf("holds %v, open %d; want what was acknowledged and is not recorded", w.all(), w.open)
	}
	want := []persistence.Done{
		{Range: persistence.Range{First: 2, Last: 2}},
		{Range: persistence.Range{First: 4, Last: 4}},
		{Range: persistence.Range{First: 5, Last: 5}, Reason: types.Dead},
	}
	if got := w.unsettled(); !slices.Equal(got, want) {
		t.Errorf("unsettled %v, want %v", got, want)
	}
	for _, seq := range []types.Seq{1, 3, 6} { // sent again, around those
		if !w.fits(seq, 1, 1) {
			t.Errorf("%d does not fit", seq)
		}
		w.add(seq, 1, 1, time.Time{})
	}
	w.settled(run(2, 5))
	if !slices.Equal(w.all(), persistence.Ranges{{First: 1, Last: 1}, {First: 6, Last: 6}}) {
		t.Errorf("holds %v", w.all())
	}
}

// windowModel is the window as one would write it without caring for speed.
type windowModel map[types.Seq]slot

func (m windowModel) check(w *window) error {
	used, open, size := 0, 0, int64(0)
	var all persistence.Ranges
	for seq, s := range m {
		used++
		size += int64(s.size)
		if s.stage < done {
			open++
		}
		all.Add(persistence.Range{First: seq, Last: seq})
	}
	if w.used != used || w.open != open || w.size != size || !slices.Equal(w.all(), all) {
		return fmt.Errorf("window: used %d, open %d, size %d, %v; model: %d, %d, %d, %v", w.used, w.open, w.size, w.all(), used, open, size, all)
	}
	if len(w.slots) > 0 && w.slots[0].stage == free {
		return fmt.Errorf("the first place is free")
	}
	if !slices.IsSortedFunc(w.slots, func(a, b slot) int { return int(a.seq) - int(b.seq) }) {
		return fmt.Errorf("out of order: %v", w.slots)
	}
	return nil
}

func TestWindowAgainstModel(t *testing.T) {
	for seed := range uint64(200) {
		r := rand.New(rand.NewPCG(seed, 1))
		w, m := window{count: 1 + r.IntN(20), exact: r.IntN(6), bytes: int64(r.IntN(200))}, windowModel{}
		next := types.Seq(1 + r.IntN(200000)) // the next one to be sent
		top := next                           // the first never sent
		for step := range 400 {
			switch r.IntN(10) {
			case 0, 1, 2, 3: // send
				if _, has := m[next]; has {
					next++
					break
				}
				size := r.IntN(30)
				qos := types.QoS(r.IntN(3))
				if fits := w.fits(next, size, qos); fits != modelFits(m, &w, next, size, qos) {
					t.Fatalf("seed %d step %d: fits(%d) = %v", seed, step, next, fits)
				} else if fits {
					w.add(next, size, qos, time.Time{})
					m[next] = slot{seq: next, size: size, qos: qos}
					next += 1 + types.Seq(r.IntN(2)*r.IntN(9000))
					top = max(top, next)
				}
			case 4, 5, 6: // some acknowledgement
				a := broker.Ack{Kind: broker.AckKind(r.IntN(3)), ID: uint16(r.IntN(65536))}
				if all := w.all(); len(all) > 0 && r.IntN(8) > 0 {
					a.ID = packetID(all[r.IntN(len(all))].First)
				}
				got, what := w.acked(a)
				want, means := types.Seq(0), nothing
				for seq, s := range m {
					if packetID(seq) != a.ID || s.qos == 0 {
						continue
					}
					switch {
					case a.Kind == broker.PubAck && s.qos == 1 && s.stage == published, a.Kind == broker.PubComp && s.qos == 2 && s.stage == released:
						s.stage, want, means = done, seq, finished
					case a.Kind == broker.PubRec && s.qos == 2 && s.stage == published:
						s.stage, want, means = received, seq, taken
					}
					m[seq] = s
				}
				if got != want || what != means {
					t.Fatalf("seed %d step %d: acked(%v) = %d, want %d", seed, step, a, got, want)
				}
			case 7: // PUBREL or a write
				for seq, s := range m {
					if s.stage == received {
						w.releasing(seq)
						s.stage = released
						m[seq] = s
					}
				}
				var got, want persistence.Ranges
				w.written(next, &got)
				for seq, s := range m {
					if s.qos == 0 && s.stage == published && seq <= next {
						s.stage = done
						m[seq] = s
						want.Add(persistence.Range{First: seq, Last: seq})
					}
				}
				if !slices.Equal(got, want) {
					t.Fatalf("seed %d step %d: written %v, want %v", seed, step, got, want)
				}
			case 8: // recorded
				var set persistence.Ranges
				for _, d := range w.unsettled() {
					if r.IntN(3) > 0 {
						set.Add(d.Range)
						delete(m, d.Range.First)
					}
				}
				w.settled(set)
			case 9:
				if r.IntN(5) == 0 {
					w.linkLost()
					for seq, s := range m {
						if s.stage < done {
							next = min(next, seq)
							delete(m, seq)
						}
					}
				}
			}
			if err := m.check(&w); err != nil {
				t.Fatalf("seed %d step %d: %v", seed, step, err)
			}
		}
	}
}

func modelFits(m windowModel, w *window, seq types.Seq, size int, qos types.QoS) bool {
	if len(m) == 0 {
		return true
	}
	sum, exact := int64(size), 0
	for other, s := range m {
		if s.qos == 2 {
			exact++
		}
		if max(other, seq)-min(other, seq) >= packetIDs {
			return false
		}
		sum += int64(s.size)
	}
	if qos == 2 && w.exact > 0 && exact >= w.exact {
		return false
	}
	return len(m) < w.count && (w.bytes == 0 || sum <= w.bytes)
}
