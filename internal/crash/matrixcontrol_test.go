//go:build unix

package crash

import (
	"context"
	"encoding/binary"
	"os"
	"strings"
	"testing"
)

// The controls: the same cells, judged in the same way, with something before or
// beside the real gateway that makes it one which breaks its promises. Each has to be
// found out; each that keeps them has to pass.
func TestMatrixSeesHarm(t *testing.T) {
	frozen := fault{name: "acknowledging while frozen", strike: (*cell).freezeGateway, mend: (*cell).killFrozen}
	tests := []struct {
		name    string
		cell    cell
		rewrite func(toBroker bool, packet []byte) (onward, answer []byte)
		through func(testing.TB, *gateway) func(context.Context) (string, error)
		play    func(*cell)
		want    string // in the verdict; "": none
	}{
		{
			name: "acknowledged to local publishers before it is committed",
			cell: cell{qos: 1, way: out, fault: frozen}, through: lie,
			play: func(c *cell) { c.run(150, 1) },
			want: "messages are lost",
		},
		{
			name: "acknowledged to the broker before it is committed",
			cell: cell{qos: 1, way: in, fault: frozen}, rewrite: acknowledgeEarly,
			play: func(c *cell) { c.run(150, 1) },
			want: "messages are lost",
		},
		{
			name: "takes what the broker repeats for something new",
			cell: cell{qos: 2, way: in, fault: faults()[1], at: []course{{true, pubrecType}}}, rewrite: neverRepeated,
			play: func(c *cell) { c.run(300, 2) },
			want: "messages came again, 0 may",
		},
		{
			name: "forgets what is released",
			cell: cell{qos: 2, way: out},
			play: func(c *cell) { c.rollBack(course{false, pubrecType}, 0) },
			want: "messages came again, 0 may",
		},
		{
			name: "forgets only what is complete",
			cell: cell{qos: 2, way: out},
			play: func(c *cell) { c.rollBack(course{true, pubrelType & 0xf0}, rolledBack-1) },
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			c := &test.cell
			var through func(*gateway) func(context.Context) (string, error)
			if test.through != nil {
				through = func(g *gateway) func(context.Context) (string, error) { return test.through(t, g) }
			}
			c.set(t, run.seed, test.rewrite, through)
			test.play(c)
			r := c.judge()
			switch err := r.verdict(); {
			case test.want == "" && err != nil:
				t.Errorf("%v: %+v", err, r)
			case test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)):
				t.Errorf("the verdict is %v, and should say that %s: %+v", err, test.want, r)
			}
			t.Logf("lost %d, doubled %d (allowed %d), reordered %d", r.lost, r.doubled, r.allowed, r.reordered)
		})
	}
}

// freezeGateway stops it where it is. What is acknowledged from now on is acknowledged
// by somebody who lies.
func (c *cell) freezeGateway() { c.gateway.freeze() }

// killFrozen waits until all that was published is acknowledged, and kills it.
func (c *cell) killFrozen() {
	c.t.Helper()
	c.await("all to be acknowledged", func() bool {
		for _, r := range c.reporters {
			if !r.finished() {
				return false
			}
		}
		return true
	})
	if c.way != out {
		goal := 0
		for _, n := range c.ledger.begun() {
			goal += n
		}
		await(c.t, &c.tap.changed, "all to be on its way", func() bool { return c.tap.met(course{false, publishType}) >= goal })
	}
	c.killGateway()
	c.gateway.start()
}

// acknowledgeEarly acknowledges to the broker what it sends at QoS 1, before the
// gateway has it.
func acknowledgeEarly(toBroker bool, p []byte) (onward, answer []byte) {
	switch {
	case toBroker && p[0] == pubackType:
		return nil, nil
	case !toBroker && p[0]&^dupFlag == publishType|qos1Flag:
		_, n := binary.Uvarint(p[1:])
		body := p[1+n:]
		return p, pubackPacket(binary.BigEndian.Uint16(body[2+binary.BigEndian.Uint16(body):]))
	}
	return p, nil
}

// neverRepeated lets all that the broker sends look new.
func neverRepeated(toBroker bool, p []byte) (onward, answer []byte) {
	if !toBroker && p[0]&0xf0 == publishType {
		p[0] &^= dupFlag
	}
	return p, nil
}

// rolledBack is how many messages rollBack is about: one window takes them all.
const rolledBack = window / cellReporters * cellReporters

// rollBack makes the gateway forget what it has written of exchanges at QoS 2 since a
// packet was on its way, the one after so many others of its course: it is held back,
// and the queue's files are copied meanwhile. When all messages have arrived the
// gateway is killed, and finds the copy when it starts. All messages were in flight,
// and nothing was accepted since, so that the copy lacks nothing but PUBREC and
// PUBCOMP.
func (c *cell) rollBack(at course, left int) {
	c.t.Helper()
	c.idle()
	s := c.tap.holdAt(at, left)
	c.publish(rolledBack / cellReporters)
	<-s.hit
	c.await("all to be acknowledged", func() bool {
		for _, r := range c.reporters {
			if !r.finished() {
				return false
			}
		}
		return true
	})
	await(c.t, &c.tap.changed, "all to be in flight", func() bool {
		return c.tap.met(course{true, publishType}) == rolledBack+cellReporters // with the first ones
	})
	before := c.t.TempDir()
	c.gateway.freeze()
	if err := os.CopyFS(before, os.DirFS(c.gateway.queueDir())); err != nil {
		c.t.Fatal(err)
	}
	c.gateway.thaw()
	close(s.on)
	c.arrive()
	c.idle()
	c.killGateway()
	if err := os.RemoveAll(c.gateway.queueDir()); err != nil {
		c.t.Fatal(err)
	}
	if err := os.CopyFS(c.gateway.queueDir(), os.DirFS(before)); err != nil {
		c.t.Fatal(err)
	}
	c.gateway.start()
	c.settle()
}
