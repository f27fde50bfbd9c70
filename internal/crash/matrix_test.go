//go:build unix

package crash

import (
	"fmt"
	"strings"
	"testing"
	"text/tabwriter"
	"time"

	"github.com/mqttdb/mqttdb/types"
)

// cells are the cells of the matrix. What is relayed goes the way of what comes in, to
// another end: it has the last fault only.
func cells() []*cell {
	var all []*cell
	for _, w := range []way{out, in, relay} {
		for qos := range byte(3) {
			list := faults()
			if w == relay {
				list = list[len(list)-1:]
			}
			for _, f := range list {
				all = append(all, &cell{qos: qos, way: w, fault: f})
			}
		}
	}
	return all
}

// Crash: the matrix of {QoS 0, 1, 2} × {out, in, relay} × faults. QoS 2: nothing is lost,
// doubled or reordered. QoS 1: nothing is lost, first deliveries are in order, and
// what comes again is at most a window for each fault, besides what the broker sends
// again. QoS 0: nothing comes twice, but for a window when the gateway is killed, and
// nothing is lost while the link is up.
func TestMatrix(t *testing.T) {
	rng := choices(t)
	all := cells()
	results := make([]result, len(all))
	t.Run("cell", func(t *testing.T) {
		for i, c := range all {
			seed := rng.Uint64()
			t.Run(c.name(), func(t *testing.T) {
				t.Parallel()
				began := time.Now()
				c.set(t, seed, nil, nil)
				c.run(run.messages, run.faults)
				r := c.judge()
				r.took = time.Since(began)
				if err := r.verdict(); err != nil {
					t.Errorf("SEED=%d: %v: %+v\n%s\n%s", run.seed, err, r, c.ledger.complaints(), c.gateway.log())
				}
				results[i] = r
			})
		}
	})
	t.Log("\n" + table(all, results))
}

// table is the results, of those cells that came to an end.
func table(all []*cell, results []result) string {
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 0, 1, ' ', 0)
	fmt.Fprintln(w, "|QoS\t|way\t|fault\t|faults\t|messages\t|lost\t|doubled (allowed)\t|reordered\t|gone with the link\t|DUP of the broker\t|seconds\t|")
	for i, r := range results {
		c := all[i]
		if r.published == 0 {
			continue
		}
		fmt.Fprintf(w, "|%d\t|%s\t|%s\t|%d\t|%d\t|%d\t|%d (%d)\t|%d\t|%d\t|%d\t|%.1f\t|\n",
			c.qos, c.way, c.fault.name, r.faults, r.published, r.lost, r.doubled, r.allowed, r.reordered, r.gone, r.sentAgain, r.took.Seconds())
	}
	w.Flush()
	return b.String()
}

// result is what became of the messages of a cell.
type result struct {
	published  int
	lost       int // that may not be lost
	gone       int // at QoS 0, with the link
	doubled    int // what arrived again, unless its publisher had published it again
	allowed    int // of these
	reordered  int // that arrived for the first time after a later one
	corrupt    int
	faults     int
	sentAgain  int // messages that mosquitto has sent the gateway with DUP
	unbalanced string
	took       time.Duration
}

// judge says what holds now.
func (c *cell) judge() result {
	v := c.ledger.judge()
	r := result{
		published: v.published, reordered: v.disordered, corrupt: v.corrupt, doubled: v.duplicates,
		faults: c.kills + c.cuts, sentAgain: c.tap.repeated(),
	}
	r.lost, r.gone = c.missing()
	all, err := c.gateway.running.statuses()
	if err != nil {
		c.t.Fatal(err)
	}
	for _, s := range all {
		for _, q := range []types.QueueStatus{s.Outgoing, s.Incoming} {
			sum := q.Sent + q.Dropped + q.Expired + q.Cleared + q.Dead + q.Quarantined + q.Pending
			if q.Accepted != sum || q.Accepted != q.Sent {
				r.unbalanced = fmt.Sprintf("%s: %+v", s.Name, q)
			}
		}
	}
	first, last := all[0].Outgoing.Accepted, all[0].Outgoing.Accepted
	if c.way != out { // "cloud", "far" if there is one, "_local"
		first, last = all[0].Incoming.Accepted, all[1].Outgoing.Accepted
	}
	switch {
	// A local publisher repeats nothing while its link holds, and at QoS 2 what anybody
	// repeats is stored once.
	case (c.qos == 2 || c.way == out && c.kills == 0) && first != uint64(v.published):
		r.unbalanced = fmt.Sprintf("%d messages were published, and %d accepted", v.published, first)
	case c.qos > 0 && last != first:
		r.unbalanced = fmt.Sprintf("%d messages were accepted, and %d passed on", first, last)
	}
	switch {
	case c.qos == 0:
		r.allowed = gatewayWindow * c.kills
	case c.qos == 1 && c.way == out:
		// What its publisher repeats the gateway accepts again.
		r.doubled += v.published - int(first)
		r.allowed = gatewayWindow * r.faults
	case c.qos == 1 && c.way == in:
		r.allowed = r.sentAgain + sessionWindow*c.kills
		if c.fault.name == "broker restart" { // what it did not save as sent it sends again without DUP
			r.allowed += sessionWindow * r.faults
		}
	case c.qos == 1:
		r.allowed = r.sentAgain + gatewayWindow*c.kills
	}
	return r
}

// missing counts the messages that have not arrived: those that had to, and those
// that were lost with a link, which may happen at QoS 0.
func (c *cell) missing() (lost, gone int) {
	for topic := range c.reporters {
	numbers:
		for _, n := range c.ledger.unseen(topic) {
			for _, s := range c.storms {
				if c.qos == 0 && s.topic == topic && s.from <= n && n < s.to {
					gone++
					continue numbers
				}
			}
			lost++
		}
	}
	return lost, gone
}

// verdict is an error that says what is not as it has to be.
func (r result) verdict() error {
	switch {
	case r.corrupt > 0:
		return fmt.Errorf("%d messages are not as they were published", r.corrupt)
	case r.lost > 0:
		return fmt.Errorf("%d of %d messages are lost", r.lost, r.published)
	case r.reordered > 0:
		return fmt.Errorf("%d messages are out of order", r.reordered)
	case r.doubled > r.allowed || r.doubled < 0:
		return fmt.Errorf("%d messages came again, %d may", r.doubled, r.allowed)
	case r.unbalanced != "":
		return fmt.Errorf("the books do not balance, or say that something went wrong: %s", r.unbalanced)
	}
	return nil
}
