package runtime

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"time"

	"github.com/mqttdb/mqttdb/actors"
	"github.com/mqttdb/mqttdb/config"
	"github.com/mqttdb/mqttdb/persistence"
	"github.com/mqttdb/mqttdb/types"
)

// observed is a queue that tells a tracker what leaves it.
type observed struct {
	persistence.Queue
	tracker *tracker
}

var (
	_ persistence.Compacter  = (*observed)(nil)
	_ persistence.DeadReader = (*observed)(nil)
	_ persistence.Roomy      = (*observed)(nil)
	_ persistence.Prober     = (*observed)(nil)
	_ persistence.SentReader = (*observed)(nil)
	_ persistence.Expirer    = (*observed)(nil)
)

// Write implements persistence.Queue.
func (o *observed) Write(ctx context.Context, c persistence.Commit) (types.Seq, error) {
	first, err := o.Queue.Write(ctx, c)
	switch {
	case len(c.Done) == 0 || persistence.Refused(err):
	case err != nil:
		o.tracker.failed(c.Done)
	default:
		o.tracker.settled(c.Done)
	}
	return first, err
}

// Read implements persistence.Queue.
func (o *observed) Read(ctx context.Context, buf []persistence.Record, after types.Seq, limit persistence.Limit) ([]persistence.Record, error) {
	defer o.reading()()
	return o.Queue.Read(ctx, buf, after, limit)
}

// ReadDead implements persistence.DeadReader.
func (o *observed) ReadDead(ctx context.Context, buf []persistence.Record, after types.Seq, limit persistence.Limit) ([]persistence.Record, error) {
	d, ok := o.Queue.(persistence.DeadReader)
	if !ok {
		return buf, nil
	}
	defer o.reading()()
	return d.ReadDead(ctx, buf, after, limit)
}

// ReadSent implements persistence.SentReader.
func (o *observed) ReadSent(ctx context.Context, buf []persistence.Record, after types.Seq, limit persistence.Limit) ([]persistence.Record, error) {
	s, ok := o.Queue.(persistence.SentReader)
	if !ok {
		return buf, nil
	}
	defer o.reading()()
	return s.ReadSent(ctx, buf, after, limit)
}

// Expired implements persistence.Expirer.
func (o *observed) Expired(ctx context.Context, after types.Seq, maxAge time.Duration) (persistence.Expired, error) {
	x, ok := o.Queue.(persistence.Expirer)
	if !ok {
		return persistence.Expired{}, nil
	}
	defer o.reading()()
	return x.Expired(ctx, after, maxAge)
}

// Compact implements persistence.Compacter.
func (o *observed) Compact(ctx context.Context, maxBytes int64) (persistence.Compaction, error) {
	c, ok := o.Queue.(persistence.Compacter)
	if !ok {
		return persistence.Compaction{}, nil
	}
	defer o.reading()()
	return c.Compact(ctx, maxBytes)
}

// Room implements persistence.Roomy.
func (o *observed) Room(ctx context.Context) error {
	if r, ok := o.Queue.(persistence.Roomy); ok {
		return r.Room(ctx)
	}
	return nil
}

// Probe implements persistence.Prober.
func (o *observed) Probe(ctx context.Context) error {
	if p, ok := o.Queue.(persistence.Prober); ok {
		return p.Probe(ctx)
	}
	return nil
}

// reading is called before what reads messages, and what it returns afterwards:
// a queue that finds messages that cannot be read takes them out by itself.
func (o *observed) reading() (over func()) {
	quarantined := func() uint64 { return o.Queue.State().Counters.Left[types.Quarantined] }
	before := quarantined()
	return func() {
		if quarantined() != before {
			o.tracker.lost(o.Queue.State())
		}
	}
}

// clientIDMark is the mark that holds the client id that was made for a
// connection (S9).
const clientIDMark = "client_id"

// keepsSession says whether something is kept that knows the session with the
// broker after a restart (S3.4).
func keepsSession(p config.Persist) bool {
	return p.Outgoing != config.Off || p.Incoming == config.On
}

// sessionInIncoming says whether what there is to know of the session is kept in
// the incoming queue: else it is in the outgoing one.
func sessionInIncoming(p config.Persist) bool {
	return p.Outgoing == config.Off && p.Incoming == config.On
}

// sessionQueue is the queue that the client id and the mark of the session are
// kept in.
func (c *Connection) sessionQueue() *actors.Queue {
	if sessionInIncoming(c.config().Persist) {
		return c.incoming.queue
	}
	return c.queue
}

// open opens the outgoing queue of c, and finds out, or makes, the client id if it
// is stored in it.
func (c *Connection) open(ctx context.Context, store persistence.Store, name string) (persistence.Queue, error) {
	q, err := store.Open(ctx, name)
	if err != nil {
		return nil, err
	}
	if !sessionInIncoming(c.config().Persist) {
		if err := c.identify(ctx, q); err != nil {
			_ = q.Close(ctx) // the error that counts is the other one
			return nil, err
		}
	}
	c.tracker.began(q.State())
	return &observed{q, &c.tracker}, nil
}

// openIncoming opens the incoming queue of c, and finds out, or makes, the client
// id if it is stored in it.
func (c *Connection) openIncoming(ctx context.Context, name string) (persistence.Queue, error) {
	store := c.rt.o.Durable
	if c.config().Persist.Incoming != config.On {
		store = c.rt.o.Volatile
	}
	q, err := store.Open(ctx, name)
	if err != nil {
		return q, err
	}
	if sessionInIncoming(c.config().Persist) {
		err = c.identify(ctx, q)
	} else { // should it be kept here again it has gone on meanwhile
		err = forget(ctx, q, []string{actors.SessionMark})
	}
	if err != nil {
		_ = q.Close(ctx) // the error that counts is the other one
		return nil, err
	}
	return q, nil
}

// identify reads the client id that was made for c, or makes it if it is needed.
func (c *Connection) identify(ctx context.Context, q persistence.Queue) error {
	for key, value := range q.Marks(clientIDMark) {
		if key == clientIDMark {
			id := string(value)
			c.clientID.Store(&id)
			return nil
		}
	}
	if c.config().ClientID != "" {
		return nil
	}
	mark, id := c.makeClientID()
	if _, err := q.Write(ctx, persistence.Commit{Marks: []persistence.Mark{mark}}); err != nil {
		return err
	}
	if err := q.Sync(ctx); err != nil {
		return err
	}
	c.clientID.Store(&id)
	return nil
}

// makeClientID makes one, and the mark that keeps it.
func (c *Connection) makeClientID() (persistence.Mark, string) {
	var random [4]byte
	rand.Read(random[:]) // never fails
	id := fmt.Sprintf("mqttdb-%s-%s", c.name, hex.EncodeToString(random[:]))
	return persistence.Mark{Key: clientIDMark, Value: []byte(id)}, id
}

// needClientID makes the client id if c, which runs, is now configured without
// one, and was not before.
func (c *Connection) needClientID(ctx context.Context) error {
	if c.config().ClientID != "" || c.clientID.Load() != nil {
		return nil
	}
	mark, id := c.makeClientID()
	_, err := actors.Ask(ctx, c.sessionQueue().Ref, func(r actors.Reply[actors.Noted]) actors.QueueMessage {
		return actors.Note{Marks: []persistence.Mark{mark}, Sync: true, Reply: r}
	})
	if err != nil {
		return fmt.Errorf("store the client id of %s: %w", c.name, err)
	}
	c.clientID.CompareAndSwap(nil, &id)
	return nil
}
