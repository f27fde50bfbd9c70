package runtime

import (
	"context"
	"fmt"
	"slices"
	"sync"

	"github.com/mqttdb/mqttdb/persistence"
	"github.com/mqttdb/mqttdb/types"
)

// Publication is a message that was handed over. Its methods may be called
// concurrently.
type Publication struct {
	conn   *Connection
	first  types.Seq
	err    error
	stored chan struct{} // closed when first and err are set
}

// Stored waits until the message is committed and returns its number in the
// queue; or the error that kept it from being stored, or that of ctx.
func (p *Publication) Stored(ctx context.Context) (types.Seq, error) {
	select {
	case <-p.stored:
		return p.first, p.err
	case <-ctx.Done():
		return 0, fmt.Errorf("wait for the commit: %w", ctx.Err())
	case <-p.conn.queue.Gone():
	}
	select {
	case <-p.stored:
		return p.first, p.err
	default:
		return 0, types.ErrClosed
	}
}

// Delivered waits until the broker has acknowledged the message (QoS 0: until
// it was written to the link). It returns the error of Stored, one that wraps
// types.ErrNotDelivered if the message left its queue otherwise, one that wraps
// types.ErrClosed if the runtime was closed before (the message is still
// stored), or the error of ctx.
func (p *Publication) Delivered(ctx context.Context) error {
	seq, err := p.Stored(ctx)
	if err != nil {
		return err
	}
	return p.conn.tracker.delivered(ctx, seq)
}

// completion waits for the answer to one Enqueue; it is used again.
type completion struct {
	done chan stored
	one  [1]persistence.Entry // what is enqueued, if it is one message
}

type stored struct {
	first types.Seq
	err   error
}

var completions = sync.Pool{New: func() any { return &completion{done: make(chan stored, 1)} }}

// Stored implements actors.Completion.
func (p *completion) Stored(first types.Seq, err error) { p.done <- stored{first, err} }

// reuse gives p back once the queue has nothing to do with it any more.
func (p *completion) reuse() {
	p.one[0] = persistence.Entry{}
	completions.Put(p)
}

// entriesOf makes entries of messages, in room if that suffices. Payloads are
// copied: the caller may use its buffers again.
func (c *Connection) entriesOf(messages []types.Message, room []persistence.Entry) ([]persistence.Entry, error) {
	entries := slices.Grow(room, len(messages))
	now := c.rt.now()
	for i, m := range messages {
		if err := m.Check(int(c.rt.config.MaxMessageSize)); err != nil {
			c.refused.add(err)
			if len(messages) > 1 {
				err = fmt.Errorf("message %d: %w", i, err)
			}
			return nil, err
		}
		m.Payload = append([]byte(nil), m.Payload...)
		m.Properties = append([]byte(nil), m.Properties...)
		entries = append(entries, persistence.Entry{Message: c.config().Outgoing(m), Enqueued: now})
	}
	return entries, nil
}
