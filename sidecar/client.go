package sidecar

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/gorilla/websocket"

	"github.com/mqttdb/mqttdb/types"
)

// client is one WebSocket, behind HELLO.
type client struct {
	server  *Server
	house   *house
	conn    *websocket.Conn
	wire    *corked
	session string
	linger  time.Duration
	out     *outbox
	acks    *acks
	header  []byte // of the latest PUB, and what it says; whoever reads has them
	message MessageHeader
	poked   chan struct{} // holds one while the status may be another one

	context context.Context // ends with it
	cancel  context.CancelCauseFunc
	work    sync.WaitGroup
	gone    chan struct{} // closed when nothing of it is at work any more

	mu        sync.Mutex
	lanes     map[string]*lane
	consumers map[consumerKey]*consumer
}

type consumerKey struct{ broker, name string }

const (
	defaultLinger = 3 * time.Second
	maxLinger     = time.Minute

	// writeTime is how long a client may read nothing.
	writeTime = time.Minute
)

func newClient(s *Server, h *house, conn *websocket.Conn, wire *corked, hello Hello) *client {
	c := &client{
		server: s, house: h, conn: conn, wire: wire, session: hello.Session, linger: defaultLinger, out: newOutbox(),
		poked: make(chan struct{}, 1), gone: make(chan struct{}), lanes: make(map[string]*lane), consumers: make(map[consumerKey]*consumer),
	}
	if hello.Linger != nil {
		c.linger = min(max(time.Duration(*hello.Linger)*time.Millisecond, 0), maxLinger)
	}
	c.acks = newAcks(c.out.acked)
	c.context, c.cancel = context.WithCancelCause(s.context)
	return c
}

// end ends c for that reason, and does not wait for it.
func (c *client) end(why error) { c.cancel(why) }

// run serves the client, and returns why it has ended when all that it has published
// before is stored.
func (c *client) run() error {
	c.out.push(Frame{Type: WelcomeType, Header: encode(Welcome{
		Version: Version, Mqttdb: c.server.o.Version, MaxFrame: maxFrame, MaxPayload: maxMessage, WindowBytes: windowBytes,
	})})
	var writer sync.WaitGroup
	written, stop := context.WithCancel(context.Background())
	writer.Go(func() { c.write(written) })
	c.work.Go(c.watch)
	stopReading := context.AfterFunc(c.context, func() { _ = c.conn.SetReadDeadline(time.Unix(1, 0)) })
	err := c.read()
	stopReading()
	c.cancel(err)
	c.work.Wait()
	for _, id := range c.lanesOf() {
		c.house.leave(c, id, c.linger)
	}
	stop()
	writer.Wait()
	return context.Cause(c.context)
}

func (c *client) lanesOf() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return sortedKeys(c.lanes)
}

// write writes what is in the outbox, until ctx ends; what is in it then is written,
// too.
func (c *client) write(ctx context.Context) {
	var list [][]byte
	for last := false; !last; {
		select {
		case <-c.out.wake:
		case <-ctx.Done():
			last = true
			if c.lost() {
				return
			}
		}
		list = c.out.take(list)
		if err := c.writeAll(list); err != nil {
			c.cancel(err)
			_ = c.conn.Close()
			return
		}
		c.out.written(list)
	}
}

// lost says whether the other side has gone.
func (c *client) lost() bool {
	var mine *closing
	why := context.Cause(c.context)
	return !errors.As(why, &mine) && !errors.Is(why, errFrame)
}

func (c *client) writeAll(list [][]byte) error {
	if len(list) == 0 {
		return nil
	}
	if err := c.conn.SetWriteDeadline(time.Now().Add(writeTime)); err != nil {
		return err
	}
	for _, b := range list {
		if err := c.conn.WriteMessage(websocket.BinaryMessage, b); err != nil {
			return err
		}
	}
	if err := c.wire.SetWriteDeadline(time.Now().Add(writeTime)); err != nil {
		return err
	}
	return c.wire.Flush()
}

// read takes the frames of the client, until it leaves or says what is none.
func (c *client) read() error {
	c.conn.SetPingHandler(func(data string) error {
		_ = c.conn.WriteControl(websocket.PongMessage, []byte(data), time.Now().Add(time.Second))
		return c.wire.Flush()
	})
	var buffer bytes.Buffer
	for {
		kind, r, err := c.conn.NextReader()
		if err != nil {
			return err
		}
		buffer.Reset()
		if _, err := buffer.ReadFrom(r); err != nil {
			return err
		}
		if kind != websocket.BinaryMessage {
			return fmt.Errorf("%w: a WebSocket message that is not binary", errFrame)
		}
		f, err := ReadFrame(bytes.Clone(buffer.Bytes()))
		if err != nil {
			return err
		}
		if buffer.Cap() > keptBuffer {
			buffer = bytes.Buffer{}
		}
		if err := c.take(f); err != nil {
			return err
		}
		if err := c.out.await(c.context, answerBytes); err != nil {
			return err
		}
	}
}

// keptBuffer is the largest buffer that is used again, in bytes.
const keptBuffer = 1 << 20

// take takes a frame of the client. An error ends it.
func (c *client) take(f Frame) error {
	switch f.Type {
	case PubType:
		return c.takePub(f)
	case StopType:
		c.result(f, nil, nil)
		c.server.o.Stop()
		return nil
	case OpenType, CloseType, DetachType, ConnectType, DisconnectType, SubType, UnsubType, CreditType, MsgAckType, ClearType, CompactType:
	default:
		return fmt.Errorf("%w: %s is not for the sidecar", errFrame, f.Type)
	}
	var t Target
	if err := f.header(&t); err != nil {
		return err
	}
	if t.Broker == "" {
		return fmt.Errorf("%w: %s names no broker (b)", errFrame, f.Type)
	}
	switch f.Type {
	case MsgAckType:
		if k := c.consumer(t); k != nil {
			return k.ack(f.Seq)
		}
	case ClearType:
		c.later(f, func(ctx context.Context) (any, error) { return c.clear(ctx, t) })
	case CompactType:
		c.later(f, func(ctx context.Context) (any, error) { return c.compact(ctx, t) })
	default:
		c.lane(t.Broker).put(item{frame: f, target: t})
	}
	return nil
}

// takePub puts a message into its lane, once there is room.
func (c *client) takePub(f Frame) error {
	if !bytes.Equal(f.Header, c.header) { // that of the one before, often
		var h MessageHeader
		if err := f.header(&h); err != nil {
			return err
		}
		c.header, c.message = f.Header, h
	}
	h := c.message
	if h.Broker == "" || f.Seq == 0 {
		return fmt.Errorf("%w: PUB without a broker (b) or without a number", errFrame)
	}
	for {
		waiting, room := c.acks.waiting()
		if waiting <= windowBytes+maxFrame {
			break
		}
		select {
		case <-room:
		case <-c.context.Done():
			return context.Cause(c.context)
		}
	}
	number, err := c.acks.add(f.Seq, f.Size())
	if err != nil {
		return err
	}
	c.lane(h.Broker).put(item{frame: f, message: h, number: number})
	return nil
}

// lane is that of a broker.
func (c *client) lane(id string) *lane {
	c.mu.Lock()
	defer c.mu.Unlock()
	l := c.lanes[id]
	if l == nil {
		l = newLane(c, id)
		c.lanes[id] = l
		c.work.Go(l.run)
	}
	return l
}

func (c *client) consumer(t Target) *consumer {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.consumers[consumerKey{t.Broker, t.Consumer}]
}

// later answers a request when do returns; others go on meanwhile.
func (c *client) later(f Frame, do func(context.Context) (any, error)) {
	c.work.Go(func() {
		value, err := do(c.context)
		c.result(f, value, err)
	})
}

// result answers a request; nil is no value.
func (c *client) result(f Frame, value any, err error) {
	if f.Seq == 0 {
		if err != nil {
			c.server.o.Logger.Warn("a request that wants no answer failed", "request", f.Type.String(), "error", err)
		}
		return
	}
	answer := Frame{Type: ResultType, Seq: f.Seq}
	if err != nil {
		answer.Header = encode(Result{Fault: shorten(faultOf(err))})
	} else {
		answer.Header = encode(Result{OK: true})
		if value != nil {
			answer.Payload = encode(value)
		}
	}
	c.out.push(answer)
}

// maxText is how much of the text of an error is told, in bytes.
const maxText = 4 << 10

func shorten(f Fault) Fault {
	if len(f.Text) > maxText {
		f.Text = f.Text[:maxText] + "…"
	}
	return f
}

// clear forgets messages.
func (c *client) clear(ctx context.Context, t Target) (any, error) {
	if t.What == "orphan" {
		n, err := c.house.engine.ClearOrphan(ctx, t.Broker)
		return map[string]uint64{"cleared": n}, err
	}
	queues := map[string][]types.QueueName{
		"outgoing": {types.Outgoing}, "incoming": {types.Incoming}, "dead": {types.DeadLetters, types.IncomingDead},
	}[t.What]
	if queues == nil {
		return nil, fmt.Errorf("%w: CLEAR is for outgoing, incoming, dead or orphan, not %q", errRequest, t.What)
	}
	var total uint64
	for _, q := range queues {
		n, err := c.house.engine.Connection(t.Broker).Clear(ctx, types.Selection{Queue: q})
		total += n
		if errors.Is(err, types.ErrUnknownQueue) {
			continue // there is nothing in it
		}
		if err != nil {
			return nil, err
		}
	}
	return map[string]uint64{"cleared": total}, nil
}

// compact gives disk space back.
func (c *client) compact(ctx context.Context, t Target) (any, error) {
	did, err := c.house.engine.Connection(t.Broker).Compact(ctx, "")
	return map[string]uint64{"reclaimed": did.Reclaimed}, err
}

// statusPause is the shortest time between two statuses.
const statusPause = 250 * time.Millisecond

// watch tells the client the status, now and after changes.
func (c *client) watch() {
	statuses := c.house.engine.Watch(c.context) // no more than one in that time
	var missed uint64
	tick := time.NewTicker(4 * statusPause)
	defer tick.Stop()
	for {
		var list []types.Status
		var ok bool
		select {
		case list, ok = <-statuses:
			if !ok {
				return
			}
		case <-c.poked:
			list = c.house.engine.Status()
		case <-tick.C: // nobody says when a message is missed
			if n := c.missedInAll(); n == missed {
				continue
			} else {
				missed = n
			}
			list = c.house.engine.Status()
		}
		c.tellStatus(list)
		pause := time.NewTimer(statusPause)
		select {
		case <-pause.C:
		case <-c.context.Done():
			pause.Stop()
			return
		}
	}
}

// tellStatus tells the client the status, and of queues that had been full that there
// is room.
func (c *client) tellStatus(list []types.Status) {
	status := c.house.status(list, c.missed)
	c.out.setStatus(encode(status))
	for i := range status.Brokers {
		if b := &status.Brokers[i]; !b.Full {
			c.room(b.Broker)
		}
	}
}

// room tells the client that a broker takes messages again, if it waits for that.
func (c *client) room(id string) {
	c.mu.Lock()
	l := c.lanes[id]
	c.mu.Unlock()
	if l != nil && l.awaitsRoom.CompareAndSwap(true, false) {
		c.out.push(Frame{Type: RoomType, Header: encode(Target{Broker: id})})
	}
}
