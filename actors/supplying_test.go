package actors

import (
	"strings"
	"testing"

	"github.com/mqttdb/mqttdb/persistence"
	"github.com/mqttdb/mqttdb/types"
)

// hearer is a connection that does nothing but hear what the queue tells it.
type hearer struct{ heard chan ConnectionMessage }

func (h *hearer) started()                      {}
func (h *hearer) receive(m ConnectionMessage)   { h.heard <- m }
func (h *hearer) interrupted(ConnectionMessage) {}
func (h *hearer) stopping()                     {}
func (h *hearer) next(t *testing.T) ConnectionMessage {
	t.Helper()
	return receive(t, h.heard, "a message of the queue")
}

// A connection that has fetched everything is given what comes next, as long as that
// is little and it had room for it; else it is told of it.
func TestSupplying(t *testing.T) {
	type step struct {
		put  int         // so many messages at once
		want []types.Seq // that are supplied; none: it is told
	}
	for _, test := range []struct {
		name  string
		limit persistence.Limit
		asks  bool // to be supplied
		qos   types.QoS
		steps []step
	}{
		{"one by one", persistence.Limit{Records: 100, Bytes: 1 << 20}, true, 1, []step{{1, []types.Seq{1}}, {1, []types.Seq{2}}, {1, []types.Seq{3}}}},
		{"some at once", persistence.Limit{Records: 100, Bytes: 1 << 20}, true, 1, []step{{2, []types.Seq{1, 2}}, {3, []types.Seq{3, 4, 5}}}},
		{"many", persistence.Limit{Records: 100, Bytes: 1 << 20}, true, 1, []step{{maxSupply, make([]types.Seq, maxSupply)}, {maxSupply + 1, nil}}},
		{"until there is no room for more", persistence.Limit{Records: 2, Bytes: 1 << 20}, true, 1, []step{{1, []types.Seq{1}}, {1, []types.Seq{2}}, {1, nil}}},
		{"room for a part", persistence.Limit{Records: 2, Bytes: 1 << 20}, true, 1, []step{{3, []types.Seq{1, 2}}}},
		{"room in bytes", persistence.Limit{Records: 100, Bytes: 40}, true, 1, []step{{1, []types.Seq{1}}, {1, []types.Seq{2}}, {1, nil}}},
		{"not asked for", persistence.Limit{Records: 100, Bytes: 1 << 20}, false, 1, []step{{1, nil}}},
		{"at QoS 2", persistence.Limit{Records: 100, Bytes: 1 << 20}, true, 2, []step{{1, []types.Seq{1}}, {2, []types.Seq{2, 3}}}},
	} {
		t.Run(test.name, func(t *testing.T) {
			sys := newTestSystem(t)
			q, _ := startQueue(t, sys, newTestStore(), nil)
			h := &hearer{make(chan ConnectionMessage, 100)}
			ref, err := spawn(sys, "hearer", func(Ref[ConnectionMessage]) role[ConnectionMessage] { return h }, func(ConnectionMessage, error) {})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { stop(t, ref) })
			q.Tell(Attach{Connection: ref})
			if _, ok := h.next(t).(Opened); !ok {
				t.Fatal("not told Opened")
			}
			fetched := make(chan Fetched, 1)
			q.Tell(Fetch{Limit: test.limit, drain: true, safe: true, supply: test.asks, Reply: func(f Fetched, _ error) { fetched <- f }})
			receive(t, fetched, "the answer of a Fetch")

			through := types.Seq(0)
			for _, s := range test.steps {
				var list []persistence.Entry
				for range s.put {
					e := entry("t", strings.Repeat("x", 9))
					e.Message.QoS = test.qos
					list = append(list, e)
				}
				if _, err := put(t.Context(), q, list...); err != nil {
					t.Fatal(err)
				}
				last := q.State().Next - 1
				switch m := h.next(t).(type) {
				case supplied:
					if len(s.want) == 0 {
						t.Fatalf("supplied %d messages, want to be told", len(m.answer.Records))
					}
					if m.after != through || len(m.answer.Records) != len(s.want) || m.answer.Last != last || m.answer.Store != q.State().StoreID {
						t.Fatalf("supplied %d messages behind %d, the last of all being %d; want %d behind %d, %d", len(m.answer.Records), m.after, m.answer.Last, len(s.want), through, last)
					}
					for i, r := range m.answer.Records {
						if r.Seq != through+types.Seq(i)+1 {
							t.Errorf("message %d is number %d, want %d", i, r.Seq, through+types.Seq(i)+1)
						}
					}
					through += types.Seq(len(s.want))
					if m.answer.Through != through {
						t.Errorf("through %d, want %d", m.answer.Through, through)
					}
				case Available:
					if len(s.want) > 0 || m.Last != last {
						t.Fatalf("told of messages up to %d, want %d messages", m.Last, len(s.want))
					}
				default:
					t.Fatalf("told %#v", m)
				}
			}
			describe(t, q)
			if n := len(h.heard); n > 0 {
				t.Errorf("%d messages more", n)
			}
		})
	}
}
