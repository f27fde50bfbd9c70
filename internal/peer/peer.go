// Package peer is a client of the sidecar, as the Node-RED nodes are one: it keeps what
// is not acknowledged, and says it again to another sidecar. It is for tests and
// benchmarks.
package peer

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"time"

	"github.com/gorilla/websocket"

	"github.com/mqttdb/mqttdb/sidecar"
)

// Peer is a client with one session. Its methods may be called concurrently, but for
// Dial.
type Peer struct {
	Hello   sidecar.Hello
	Welcome sidecar.Welcome

	// Message, if set before Dial, gets each MSG, one after the other. The payload
	// is its own.
	Message func(f sidecar.Frame, h sidecar.MessageHeader)

	mu      sync.Mutex
	conn    *websocket.Conn
	wire    *wire
	gone    chan struct{} // closed when conn has ended
	why     error
	seq     uint64
	request uint64
	open    []sidecar.Frame // PUB that are not acknowledged, in order
	results map[uint64]chan sidecar.Frame
	nacks   []sidecar.Nack
	rooms   int
	status  sidecar.Status
	changed chan struct{} // closed, and another made, when something of the above has
}

// wire gathers what is written until it is flushed.
type wire struct {
	net.Conn
	mu     sync.Mutex    // who reads answers a close, too
	buffer *bufio.Writer // nil: it does not
}

// flush writes what was gathered.
func (w *wire) flush() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.buffer.Flush()
}

// Write implements net.Conn.
func (w *wire) Write(b []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.buffer == nil {
		return w.Conn.Write(b)
	}
	return w.buffer.Write(b)
}

// New returns a Peer with that session and data directory.
func New(session, dataDir string) *Peer {
	return &Peer{Hello: sidecar.Hello{Version: sidecar.Version, Session: session, DataDir: dataDir}, changed: make(chan struct{})}
}

// Dial connects to a sidecar, at an address as it prints it.
func (p *Peer) Dial(ctx context.Context, address string) error {
	network, where, _ := strings.Cut(address, ":")
	w := &wire{}
	dialer := websocket.Dialer{
		Subprotocols: []string{sidecar.Subprotocol}, ReadBufferSize: 64 << 10, WriteBufferSize: 4 << 10, HandshakeTimeout: 10 * time.Second,
		NetDialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			conn, err := new(net.Dialer).DialContext(ctx, network, where)
			w.Conn = conn
			return w, err
		},
	}
	conn, _, err := dialer.DialContext(ctx, "ws://localhost/", nil)
	if err != nil {
		return fmt.Errorf("connect to the sidecar: %w", err)
	}
	header, err := json.Marshal(p.Hello)
	if err != nil {
		return err
	}
	hello, err := sidecar.Frame{Type: sidecar.HelloType, Header: header}.Append(nil)
	if err != nil {
		return err
	}
	if err := conn.WriteMessage(websocket.BinaryMessage, hello); err != nil {
		return err
	}
	_, b, err := conn.ReadMessage()
	if err != nil {
		return fmt.Errorf("greet the sidecar: %w", errors.Join(err, conn.Close()))
	}
	f, err := sidecar.ReadFrame(b)
	if err != nil || f.Type != sidecar.WelcomeType {
		return fmt.Errorf("the sidecar answered %s: %w", f.Type, errors.Join(err, conn.Close()))
	}
	if err := json.Unmarshal(f.Header, &p.Welcome); err != nil {
		return err
	}
	w.mu.Lock()
	w.buffer = bufio.NewWriterSize(w.Conn, 64<<10)
	w.mu.Unlock()
	p.mu.Lock()
	p.conn, p.wire, p.gone, p.why = conn, w, make(chan struct{}), nil
	p.results = make(map[uint64]chan sidecar.Frame)
	p.mu.Unlock()
	go p.read(conn, p.gone)
	return nil
}

// read takes what the sidecar says, until the connection ends.
func (p *Peer) read(conn *websocket.Conn, gone chan struct{}) {
	for {
		_, b, err := conn.ReadMessage()
		var f sidecar.Frame
		if err == nil {
			f, err = sidecar.ReadFrame(b)
		}
		if err == nil {
			err = p.take(f)
		}
		if err != nil {
			p.mu.Lock()
			p.why = err
			p.tell()
			p.mu.Unlock()
			_ = conn.Close()
			close(gone)
			return
		}
	}
}

// tell wakes who waits; the lock is held.
func (p *Peer) tell() {
	close(p.changed)
	p.changed = make(chan struct{})
}

func (p *Peer) take(f sidecar.Frame) error {
	if f.Type == sidecar.MsgType {
		var h sidecar.MessageHeader
		if err := json.Unmarshal(f.Header, &h); err != nil {
			return err
		}
		if p.Message != nil {
			p.Message(f, h)
		}
		return nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	defer p.tell()
	switch f.Type {
	case sidecar.AckType:
		n := 0
		for n < len(p.open) && p.open[n].Seq <= f.Seq {
			p.open[n] = sidecar.Frame{}
			n++
		}
		p.open = p.open[n:]
	case sidecar.NackType:
		var n sidecar.Nack
		if err := json.Unmarshal(f.Header, &n); err != nil {
			return err
		}
		p.nacks = append(p.nacks, n)
	case sidecar.RoomType:
		p.rooms++
	case sidecar.ResultType:
		if ch := p.results[f.Seq]; ch != nil {
			delete(p.results, f.Seq)
			ch <- f
		}
	case sidecar.StatusType:
		var s sidecar.Status
		if err := json.Unmarshal(f.Payload, &s); err != nil {
			return err
		}
		p.status = s
	default:
		return fmt.Errorf("a frame that is not for clients: %s", f.Type)
	}
	return nil
}

// send writes frames at once.
func (p *Peer) send(list ...sidecar.Frame) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.write(list)
}

func (p *Peer) write(list []sidecar.Frame) error {
	for _, f := range list {
		b, err := f.Append(nil)
		if err != nil {
			return err
		}
		if err := p.conn.WriteMessage(websocket.BinaryMessage, b); err != nil {
			return err
		}
	}
	return p.wire.flush()
}

// Fault is a request that failed.
type Fault struct{ sidecar.Fault }

func (f *Fault) Error() string { return f.Code + ": " + f.Text }

// Ask says a request and returns the value of its RESULT; the error is a *Fault if that
// says so. target and payload may be nil; payload is []byte or is written as JSON.
func (p *Peer) Ask(ctx context.Context, t sidecar.Type, target, payload any) ([]byte, error) {
	f := sidecar.Frame{Type: t}
	var err error
	if target != nil {
		if f.Header, err = json.Marshal(target); err != nil {
			return nil, err
		}
	}
	if b, ok := payload.([]byte); ok {
		f.Payload = b
	} else if payload != nil {
		if f.Payload, err = json.Marshal(payload); err != nil {
			return nil, err
		}
	}
	answer := make(chan sidecar.Frame, 1)
	p.mu.Lock()
	p.request++
	f.Seq = p.request
	p.results[f.Seq] = answer
	gone := p.gone
	err = p.write([]sidecar.Frame{f})
	p.mu.Unlock()
	if err != nil {
		return nil, err
	}
	select {
	case f = <-answer:
	case <-gone:
		return nil, fmt.Errorf("%s: the sidecar has gone: %w", t, p.Why())
	case <-ctx.Done():
		return nil, fmt.Errorf("%s: %w", t, ctx.Err())
	}
	var r sidecar.Result
	if err := json.Unmarshal(f.Header, &r); err != nil {
		return nil, err
	}
	if !r.OK {
		return nil, &Fault{r.Fault}
	}
	return f.Payload, nil
}

// Publish says messages, which it keeps until they are acknowledged. The error, but for
// the first one after another Dial, is no reason to forget them.
func (p *Peer) Publish(h sidecar.MessageHeader, flags uint8, payloads ...[]byte) error {
	header, err := json.Marshal(h)
	if err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	from := len(p.open)
	for i, payload := range payloads {
		p.seq++
		f := sidecar.Frame{Type: sidecar.PubType, Seq: p.seq, Header: header, Payload: payload}
		if i == 0 {
			f.Flags = flags
		}
		p.open = append(p.open, f)
	}
	return p.write(p.open[from:])
}

// Resend says again what is not acknowledged.
func (p *Peer) Resend() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.write(p.open)
}

// Done says that a consumer is done with all messages up to seq.
func (p *Peer) Done(broker, consumer string, seq uint64) error {
	header, err := json.Marshal(sidecar.Target{Broker: broker, Consumer: consumer})
	if err != nil {
		return err
	}
	return p.send(sidecar.Frame{Type: sidecar.MsgAckType, Seq: seq, Header: header})
}

// Say writes a frame as it is.
func (p *Peer) Say(f sidecar.Frame) error { return p.send(f) }

// State is what a Peer knows.
type State struct {
	Open   int // PUB that are not acknowledged
	Nacks  []sidecar.Nack
	Rooms  int // ROOM that came
	Status sidecar.Status
}

// Await waits until what the Peer knows is as is says. It fails when the connection has
// ended.
func (p *Peer) Await(ctx context.Context, is func(State) bool) error {
	for {
		p.mu.Lock()
		s := State{len(p.open), p.nacks, p.rooms, p.status}
		changed, why := p.changed, p.why
		p.mu.Unlock()
		if is(s) {
			return nil
		}
		if why != nil {
			return fmt.Errorf("the sidecar has gone: %w", why)
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return fmt.Errorf("%w; %d are not acknowledged, %d were refused, the status is %+v", ctx.Err(), s.Open, len(s.Nacks), s.Status)
		}
	}
}

// Acked waits until all that was published is answered.
func (p *Peer) Acked(ctx context.Context) error {
	return p.Await(ctx, func(s State) bool { return s.Open == 0 })
}

// Broker waits until the status of a broker is as is says.
func (p *Peer) Broker(ctx context.Context, id string, is func(sidecar.BrokerStatus) bool) error {
	return p.Await(ctx, func(s State) bool {
		for _, b := range s.Status.Brokers {
			if b.Broker == id && is(b) {
				return true
			}
		}
		return false
	})
}

// Why says why the connection has ended; nil: it has not.
func (p *Peer) Why() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.why
}

// Gone is closed when the connection has ended.
func (p *Peer) Gone() <-chan struct{} {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.gone
}

// Close ends the connection.
func (p *Peer) Close() error {
	p.mu.Lock()
	conn, gone := p.conn, p.gone
	p.mu.Unlock()
	err := conn.Close()
	<-gone
	return err
}
