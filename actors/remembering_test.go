package actors

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"

	"github.com/mqttdb/mqttdb/persistence"
	"github.com/mqttdb/mqttdb/types"
)

// brokenQueue cannot be written while its disk is broken.
type brokenQueue struct {
	persistence.Queue
	persistence.Compacter
	disk *brokenDisk
}

type brokenDisk struct {
	write, sync, read, gone atomic.Bool
	probes                  atomic.Int64
}

var errBroken = &types.StoreError{Op: "write to", Queue: "cloud/outgoing", Err: errors.New("input/output error")}

func (d *brokenDisk) use(q persistence.Queue) persistence.Queue {
	return &brokenQueue{q, q.(persistence.Compacter), d}
}

func (q *brokenQueue) Write(ctx context.Context, c persistence.Commit) (types.Seq, error) {
	if q.disk.write.Load() {
		return 0, errBroken
	}
	return q.Queue.Write(ctx, c)
}

func (q *brokenQueue) Sync(ctx context.Context) error {
	if q.disk.sync.Load() {
		return errBroken
	}
	return q.Queue.Sync(ctx)
}

func (q *brokenQueue) Read(ctx context.Context, buf []persistence.Record, after types.Seq, max persistence.Limit) ([]persistence.Record, error) {
	if q.disk.read.Load() {
		return nil, errBroken
	}
	return q.Queue.Read(ctx, buf, after, max)
}

func (q *brokenQueue) Probe(context.Context) error {
	q.disk.probes.Add(1)
	switch {
	case q.disk.gone.Load():
		return fmt.Errorf("cloud/outgoing was %w", types.ErrGone)
	case q.disk.write.Load() || q.disk.sync.Load():
		return errBroken
	}
	return nil
}

// What is stored is sent while the store cannot be written, what was acknowledged
// is not sent again on a later link, and is recorded when it can be.
func TestDrainsWhileTheStoreCannotBeWritten(t *testing.T) {
	for _, test := range []struct {
		name string
		hurt func(*brokenDisk) *atomic.Bool
		qos  types.QoS
	}{
		{"writing fails, QoS 0", func(d *brokenDisk) *atomic.Bool { return &d.write }, 0},
		{"writing fails, QoS 1", func(d *brokenDisk) *atomic.Bool { return &d.write }, 1},
		{"syncing fails, QoS 0", func(d *brokenDisk) *atomic.Bool { return &d.sync }, 0},
		{"syncing fails, QoS 1", func(d *brokenDisk) *atomic.Bool { return &d.sync }, 1},
	} {
		t.Run(test.name, func(t *testing.T) {
			g, d := newGateway(t, nil), &brokenDisk{}
			g.flaw = d.use
			g.start()
			g.bell.wait(t, "a link", func() bool { return g.conn.Status().State == types.Online })
			g.conn.Tell(Pause{})
			g.bell.wait(t, "no link", func() bool { return g.conn.Status().State == types.Paused })
			var want []string
			for i := range 100 {
				want = append(want, fmt.Sprint(i))
			}
			g.put(test.qos, want...)

			hurt := test.hurt(d)
			hurt.Store(true)
			var trouble *types.StoreError
			if _, err := g.queue.Put(t.Context(), []persistence.Entry{entry("t", "refused")}); !errors.As(err, &trouble) {
				t.Fatalf("Put = %v, want the trouble", err)
			}
			g.conn.Tell(Resume{})
			// A Sync that failed leaves a message of which nobody knows whether it is stored.
			unsure := g.queue.State().Counters.Accepted - 100
			g.bell.wait(t, "all to be sent", func() bool { return g.queue.State().Pending() == unsure })
			if s := g.queue.Status(); s.Trouble == "" || s.Sent != 100 {
				t.Errorf("the status is %+v", s)
			}
			before := g.conn.Status().Since
			g.broker.Cut()
			g.bell.wait(t, "another link", func() bool {
				s := g.conn.Status()
				return s.State == types.Online && s.Since != before
			})
			describe(t, g.queue)

			hurt.Store(false)
			g.drained()
			if got := slices.DeleteFunc(g.arrived(), func(p string) bool { return p == "refused" }); !slices.Equal(got, want) {
				t.Errorf("arrived: %v", got)
			}
			g.die(nil)
			g.flaw = nil
			g.start()
			g.bell.wait(t, "the store to be open", func() bool { return !g.queue.Unread() })
			if s := g.queue.Status(); s.Pending != 0 || s.Sent != 100+unsure || s.Accepted != s.Sent {
				t.Errorf("after the death of the process: %+v", s)
			}
		})
	}
}

// A store whose place is gone is drained, and begun anew when nothing more comes
// out of it.
func TestGone(t *testing.T) {
	g, d := newGateway(t, nil), &brokenDisk{}
	g.flaw = d.use
	g.start()
	g.bell.wait(t, "a link", func() bool { return g.conn.Status().State == types.Online })
	g.conn.Tell(Pause{})
	g.bell.wait(t, "no link", func() bool { return g.conn.Status().State == types.Paused })
	g.put(1, "a", "b", "c")
	d.write.Store(true)
	d.gone.Store(true)
	if _, err := g.queue.Put(t.Context(), []persistence.Entry{entry("t", "refused")}); err == nil {
		t.Fatal("what cannot be stored was taken")
	}
	g.conn.Tell(Resume{})
	g.bell.wait(t, "all to be sent", func() bool { return g.queue.State().Pending() == 0 })
	d.write.Store(false)
	g.bell.wait(t, "the end of the trouble", func() bool { return g.queue.Trouble() == nil })
	if got := g.arrived(); !slices.Equal(got, []string{"a", "b", "c"}) {
		t.Errorf("arrived: %v", got)
	}
}

// A message with QoS 2 waits: nothing is released that is not recorded [S3.2].
func TestQoS2WaitsWhileTheStoreCannotBeWritten(t *testing.T) {
	g, d := newGateway(t, nil), &brokenDisk{}
	g.flaw = d.use
	g.start()
	g.bell.wait(t, "a link", func() bool { return g.conn.Status().State == types.Online })
	g.conn.Tell(Pause{})
	g.bell.wait(t, "no link", func() bool { return g.conn.Status().State == types.Paused })
	g.put(2, "a", "b")
	d.write.Store(true)
	if _, err := g.queue.Put(t.Context(), []persistence.Entry{entry("t", "refused")}); err == nil {
		t.Fatal("what cannot be stored was taken")
	}
	g.conn.Tell(Resume{})
	g.bell.wait(t, "a link", func() bool { return g.conn.Status().State == types.Online })
	probes := d.probes.Load()
	g.bell.wait(t, "more attempts", func() bool { return d.probes.Load() > probes+2 })
	if s := g.queue.Status(); s.Pending != 2 || s.Sent != 0 {
		t.Errorf("while nothing can be recorded: %+v", s)
	}
	d.write.Store(false)
	g.drained()
	if got := g.arrived(); !slices.Equal(got, []string{"a", "b"}) {
		t.Errorf("arrived: %v", got)
	}
}

// What cannot be read either is read when the store was opened again.
func TestCannotBeReadEither(t *testing.T) {
	g, d := newGateway(t, nil), &brokenDisk{}
	g.flaw = d.use
	g.start()
	g.bell.wait(t, "a link", func() bool { return g.conn.Status().State == types.Online })
	g.conn.Tell(Pause{})
	g.bell.wait(t, "no link", func() bool { return g.conn.Status().State == types.Paused })
	g.put(1, "a", "b")
	d.write.Store(true)
	d.read.Store(true)
	if _, err := g.queue.Put(t.Context(), []persistence.Entry{entry("t", "refused")}); err == nil {
		t.Fatal("what cannot be stored was taken")
	}
	g.conn.Tell(Resume{})
	g.bell.wait(t, "a link", func() bool { return g.conn.Status().State == types.Online })
	if s := g.queue.Status(); s.Trouble == "" || s.Pending != 2 {
		t.Errorf("the status is %+v", s)
	}
	d.write.Store(false)
	d.read.Store(false)
	g.drained()
	if got := g.arrived(); !slices.Equal(got, []string{"a", "b"}) {
		t.Errorf("arrived: %v", got)
	}
}
