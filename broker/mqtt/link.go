package mqtt

import (
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/eclipse/paho.mqtt.golang/packets"

	"github.com/mqttdb/mqttdb/broker"
	"github.com/mqttdb/mqttdb/types"
)

// link is a session on one Conn.
type link struct {
	conn    broker.Conn
	in      *frames // the reader's
	arrived batch   // the reader's
	buffers *sync.Pool
	log     *slog.Logger

	maxPayload   int // of a message that is told; 0: any
	writeTimeout time.Duration
	closeTimeout time.Duration

	// telling is held while events is called, so that one goroutine at a time
	// tells. Never taken while mu is held.
	telling sync.Mutex
	events  func(broker.Event)
	told    bool // Down was told
	gathering

	mu      sync.Mutex
	out     []byte         // not yet taken by the writer
	places  []place        // of the PUBLISHes in out that there is something to tell of
	writing bool           // a writer goroutine runs
	closing bool           // Close was called, nothing more is taken
	down    bool           // the link has ended
	why     error          // it has
	closed  chan struct{}  // closed with the Conn, where the writer waits for that
	asked   map[uint16]int // SUBSCRIBE and UNSUBSCRIBE without answer: id → number of filters, 0 for UNSUBSCRIBE
	giveUp  *time.Timer    // ends a graceful Close that takes too long
	held    chan struct{}  // closed by what ends a Hold; nil: there is none

	keepalive keepalive
	bye       atomic.Bool // DISCONNECT was written
}

var _ broker.Link = (*link)(nil)

// place is where a PUBLISH lies in what is written.
type place struct {
	from, to int
	tag      uint64
	qos      types.QoS
	until    time.Time // see broker.Publish
}

func (d *Dialer) newLink(conn broker.Conn, in *frames, o broker.ConnectOptions, events func(broker.Event)) *link {
	l := &link{
		conn:         conn,
		in:           in,
		buffers:      &d.buffers,
		maxPayload:   o.MaxPayload,
		log:          d.Logger,
		writeTimeout: positive(d.WriteTimeout, defaultWriteTimeout),
		closeTimeout: positive(d.CloseTimeout, defaultCloseTimeout),
		events:       events,
	}
	if l.log == nil {
		l.log = slog.New(slog.DiscardHandler)
	}
	if o.KeepAlive > 0 {
		l.writeTimeout = min(l.writeTimeout, o.KeepAlive)
	}
	l.keepalive.interval = o.KeepAlive
	return l
}

// start lets the link live; everything before was one goroutine's.
func (l *link) start() {
	l.startKeepalive()
	go l.read()
}

// Publish implements broker.Link.
func (l *link) Publish(p []broker.Publish) error {
	size := 0
	for i := range p {
		if err := checkPublish(&p[i]); err != nil {
			return fmt.Errorf("publish: %w", err)
		}
		size += publishSize(&p[i].Message) + 5
	}
	if len(p) == 0 {
		return l.send("publish", 0, nil)
	}
	return l.send("publish", size, func(out []byte) []byte {
		for i := range p {
			from := len(out)
			out = appendPublish(out, &p[i])
			qos := p[i].Message.QoS
			if qos == 1 {
				l.gathering.underWay.Add(1)
			}
			if qos == 0 || !p[i].Until.IsZero() {
				l.places = append(l.places, place{from, len(out), p[i].Tag, qos, p[i].Until})
			}
		}
		return out
	})
}

// Release implements broker.Link.
func (l *link) Release(ids []uint16) error {
	for _, id := range ids {
		if err := broker.CheckID(id); err != nil {
			return fmt.Errorf("release: %w", err)
		}
	}
	return l.send("release", 4*len(ids), func(out []byte) []byte {
		for _, id := range ids {
			out = appendAck(out, firstOfRelease, id)
		}
		return out
	})
}

// Acknowledge implements broker.Link.
func (l *link) Acknowledge(acks []broker.Ack) error {
	for _, a := range acks {
		if err := a.Check(); err != nil {
			return fmt.Errorf("acknowledge: %w", err)
		}
	}
	return l.send("acknowledge", 4*len(acks), func(out []byte) []byte {
		for _, a := range acks {
			out = appendAck(out, firstOfAck(a.Kind), a.ID)
		}
		return out
	})
}

// Subscribe implements broker.Link.
func (l *link) Subscribe(id uint16, filters []broker.Filter) error {
	p, err := subscribePacket(id, filters)
	if err != nil {
		return fmt.Errorf("subscribe: %w", err)
	}
	return l.ask("subscribe", id, len(filters), p)
}

// Unsubscribe implements broker.Link.
func (l *link) Unsubscribe(id uint16, filters []string) error {
	p, err := unsubscribePacket(id, filters)
	if err != nil {
		return fmt.Errorf("unsubscribe: %w", err)
	}
	return l.ask("unsubscribe", id, 0, p)
}

// ask sends p and remembers what its answer must look like.
func (l *link) ask(what string, id uint16, filters int, p packets.ControlPacket) error {
	packet := encode(p)
	taken := false
	err := l.send(what, len(packet), func(out []byte) []byte {
		if _, taken = l.asked[id]; taken {
			return out
		}
		if l.asked == nil {
			l.asked = make(map[uint16]int)
		}
		l.asked[id] = filters
		return append(out, packet...)
	})
	if err == nil && taken {
		return fmt.Errorf("%s: packet id %d is in use until it was answered", what, id)
	}
	return err
}

// answered takes the answer to a question, or says why it is none.
func (l *link) answered(id uint16, filters int) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	want, asked := l.asked[id]
	delete(l.asked, id)
	if !asked || want != filters {
		return malformed("a SUBACK or UNSUBACK for %d filters with packet id %d, but that had asked for %d", filters, id, want)
	}
	return nil
}

// Close implements broker.Link.
func (l *link) Close(graceful bool) {
	if !graceful {
		l.mu.Lock()
		l.closing = true
		l.mu.Unlock()
		go l.end(nil) // closing a Conn may take a moment
		return
	}
	if l.send("close", 2, func(out []byte) []byte {
		l.closing = true
		l.unhold()
		l.giveUp = time.AfterFunc(l.closeTimeout, func() { l.end(nil) })
		return append(out, packets.Disconnect<<4, 0)
	}) == nil {
		l.log.Debug("link closing")
	}
}

// send lets add append to what the writer will write next.
func (l *link) send(what string, size int, add func(out []byte) []byte) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closing || l.down {
		return fmt.Errorf("%s: link %w", what, types.ErrClosed)
	}
	if size == 0 {
		return nil
	}
	l.out = add(l.room(size))
	if len(l.out) > 0 && !l.writing {
		l.writing = true
		go l.write()
	}
	return nil
}

// tell tells an event, unless Down was told.
func (l *link) tell(e broker.Event) {
	l.telling.Lock()
	defer l.telling.Unlock()
	if !l.told {
		l.events(e)
	}
}

// end closes the Conn and tells Down, the first time that it is called. While
// something is written the writer tells it, after what it has written: what the broker
// may have got at QoS 0 must not be sent again.
func (l *link) end(err error) {
	l.mu.Lock()
	if l.down {
		l.mu.Unlock()
		return
	}
	l.down = true
	l.unhold()
	l.out, l.asked = nil, nil
	if !l.closing {
		l.why = err
	}
	if l.writing {
		l.closed = make(chan struct{})
	}
	closed := l.closed
	if l.giveUp != nil {
		l.giveUp.Stop()
	}
	l.mu.Unlock()

	l.stopKeepalive()
	l.conn.Close()
	l.log.Debug("link down", "error", l.why)
	if closed != nil {
		close(closed)
		return
	}
	l.tellDown()
}

// tellDown tells that the link is gone, which has ended; once.
func (l *link) tellDown() {
	l.telling.Lock()
	defer l.telling.Unlock()
	l.tellKept()
	l.told = true
	l.events(broker.Down{Err: l.why})
}
