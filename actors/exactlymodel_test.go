package actors

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strconv"
	"testing"
	"time"

	"github.com/mqttdb/mqttdb/persistence"
	"github.com/mqttdb/mqttdb/types"
)

// history is what was done to a gateway at random, and what may come of it.
type history struct {
	*gateway
	r      *rand.Rand
	qos    []types.QoS
	stored []bool // for certain
	kept   []bool // no clearing was about it
	ends   int    // of links, processes and actors
}

// play publishes at random while links, actors and processes die, and operators
// clear, and returns what has gone wrong once all has left.
func (h *history) play(steps int, powerToo bool) (wrong []string) {
	h.broker.Delay(50 * time.Microsecond)
	h.broker.Reorder(h.r.IntN(2) == 0)
	for range steps {
		switch h.r.IntN(16) {
		case 0:
			h.broker.Cut()
			h.ends++
		case 1, 2:
			h.broker.CutAfter(1 + h.r.IntN(40))
			h.broker.Cut()
			h.ends++
		case 3, 4:
			var power *rand.Rand
			if powerToo && h.r.IntN(2) == 0 {
				power = h.r
			}
			h.die(power)
			h.start()
			h.ends++
		case 5:
			h.conn.Kill()
			h.ends++
		case 6:
			h.queue.Kill()
			h.ends++
		case 7:
			h.clear()
		case 8: // let it work for a while
			ctx, cancel := context.WithTimeout(h.t.Context(), time.Duration(h.r.IntN(3000))*time.Microsecond)
			_ = h.broker.WaitFor(ctx, len(h.broker.Published())+1+h.r.IntN(5)) // there may be none
			cancel()
		default:
			h.publish(1 + h.r.IntN(8))
		}
	}
	h.broker.CutAfter(0)
	h.broker.Cut()
	h.drained()
	return h.judge()
}

func (h *history) publish(n int) {
	for range n {
		e := entry(fmt.Sprint("t/", len(h.qos)%3), fmt.Sprint(len(h.qos)))
		if e.Message.QoS = 2; h.r.IntN(4) == 0 {
			e.Message.QoS = types.QoS(h.r.IntN(2))
		}
		_, err := h.queue.Put(h.t.Context(), []persistence.Entry{e})
		h.qos = append(h.qos, e.Message.QoS)
		h.stored, h.kept = append(h.stored, err == nil), append(h.kept, true)
	}
}

// clear clears everything, or a third of it.
func (h *history) clear() {
	m := Clear{Reply: func(Cleared, error) {}}
	topic := h.r.IntN(6)
	if topic < 3 {
		m.Filter = fmt.Sprint("t/", topic)
	}
	done := make(chan struct{})
	m.Reply = func(Cleared, error) { close(done) }
	h.queue.Tell(m)
	receive(h.t, done, "the end of a clearing")
	for i := range h.kept {
		if m.Filter == "" || i%3 == topic {
			h.kept[i] = false
		}
	}
}

// judge compares what has arrived with what was stored. What was cleared may come
// back after a power cut, for that is not synced (S7.2), and then late.
func (h *history) judge() (wrong []string) {
	says := func(format string, args ...any) { wrong = append(wrong, fmt.Sprintf(format, args...)) }
	times, last := make([]int, len(h.qos)), -1
	for _, p := range h.arrived() {
		i, err := strconv.Atoi(p)
		if err != nil {
			h.t.Fatal(err)
		}
		if times[i]++; times[i] == 1 && h.kept[i] {
			if i < last {
				says("%d came behind %d", i, last)
			}
			last = i
		}
	}
	for i, n := range times {
		switch {
		case n == 0 && h.qos[i] > 0 && h.stored[i] && h.kept[i]:
			says("%d, QoS %d, is lost", i, h.qos[i])
		case n > 1 && h.qos[i] == 2:
			says("%d came %d times at QoS 2", i, n)
		}
	}
	if st := h.queue.Status(); st.Accepted != st.Sent+st.Cleared {
		says("the books: accepted %d, sent %d, cleared %d", st.Accepted, st.Sent, st.Cleared)
	}
	return wrong
}

// forgetful is a store that does not tell which handshakes are to be resumed.
type forgetful struct{ persistence.Queue }

func (q forgetful) Read(ctx context.Context, buf []persistence.Record, after types.Seq, max persistence.Limit) ([]persistence.Record, error) {
	records, err := q.Queue.Read(ctx, buf, after, max)
	for i := range records {
		records[i].Released = false
	}
	return records, err
}

// eager is a store that says that PUBRECs are journalled before they are.
type eager struct{ persistence.Queue }

func (q eager) Write(ctx context.Context, c persistence.Commit) (types.Seq, error) {
	c.Released = nil
	return q.Queue.Write(ctx, c)
}

// Whatever happens, in whatever order, each message with QoS 2 arrives exactly
// once, and all in order [S3]. A connection that does not resume what is released,
// or that sends PUBREL before that is journalled, is caught.
func TestExactlyOnceModel(t *testing.T) {
	for _, test := range []struct {
		name   string
		within time.Duration
		power  bool
		flaw   func(persistence.Queue) persistence.Queue
		seeds  uint64
	}{
		{"always, with power cuts", 0, true, nil, 30},
		{"never, without", -1, false, nil, 15},
		{"control: released is forgotten", 0, false, func(q persistence.Queue) persistence.Queue { return forgetful{q} }, 30},
		{"control: released is not journalled", 0, false, func(q persistence.Queue) persistence.Queue { return eager{q} }, 30},
	} {
		t.Run(test.name, func(t *testing.T) {
			messages, ends, caught := 0, 0, 0
			for seed := range test.seeds {
				g := newGateway(t, func(q *QueueConfig, _ *ConnectionConfig) { q.SyncWithin = test.within })
				g.flaw = test.flaw
				h := &history{gateway: g, r: rand.New(rand.NewPCG(seed, 7))}
				g.start()
				wrong := h.play(120, test.power)
				messages, ends = messages+len(h.qos), ends+h.ends
				g.stop()
				if test.flaw != nil && len(wrong) > 0 {
					caught++
					break
				}
				for _, w := range wrong {
					t.Errorf("seed %d: %s", seed, w)
				}
			}
			t.Logf("%d messages, %d ends of links, processes and actors", messages, ends)
			if test.flaw != nil && caught == 0 {
				t.Error("the flaw was not noticed: the test shows nothing")
			}
		})
	}
}
