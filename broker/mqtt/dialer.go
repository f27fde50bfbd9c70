package mqtt

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"time"

	"github.com/mqttdb/mqttdb/broker"
)

const (
	defaultConnectTimeout = 10 * time.Second
	defaultWriteTimeout   = 30 * time.Second
	defaultCloseTimeout   = 3 * time.Second

	// defaultMaxPacket holds the largest message that can be stored.
	defaultMaxPacket = 8 << 20
)

// Dialer opens links to the broker that Network reaches. It must not be copied
// once it was used.
type Dialer struct {
	Network broker.Network

	// ConnectTimeout is how long the broker may take to answer CONNECT; 0 means
	// 10 s. Network has a timeout of its own.
	ConnectTimeout time.Duration

	// WriteTimeout is how long the network may take no byte while there is
	// something to write; 0 means 30 s. The keepalive interval, where it is
	// shorter, takes its place.
	WriteTimeout time.Duration

	// CloseTimeout is how long a graceful Close may take to write what was
	// handed over, and to see the broker hang up; 0 means 3 s.
	CloseTimeout time.Duration

	// Logger is told at level Debug what happens to links; nil: nobody is.
	Logger *slog.Logger

	buffers sync.Pool // of *[]byte, for writers
}

var (
	_ broker.Dialer = (*Dialer)(nil)
	_ broker.Prober = (*Dialer)(nil)
)

// Probe implements broker.Prober.
func (d *Dialer) Probe(ctx context.Context) error {
	conn, err := d.Network(ctx)
	if err != nil {
		return err
	}
	return conn.Close()
}

// Dial implements broker.Dialer. Events may be told before it returns. With
// MQTT 3.1, which does not say whether the broker has kept the session,
// Session.Present is false.
func (d *Dialer) Dial(ctx context.Context, o broker.ConnectOptions, events func(broker.Event)) (broker.Link, broker.Session, error) {
	connect, err := connectPacket(o)
	if err != nil {
		return nil, broker.Session{}, fmt.Errorf("connect: %w", err)
	}
	if d.Network == nil {
		return nil, broker.Session{}, errors.New("connect: the dialer has no network")
	}
	conn, err := d.Network(ctx)
	if err != nil {
		return nil, broker.Session{}, err
	}
	in := newFrames(conn, positive(o.MaxPacket, defaultMaxPacket))
	s, err := d.handshake(ctx, conn, in, o, encode(connect))
	if err != nil {
		conn.Close()
		return nil, broker.Session{}, err
	}
	l := d.newLink(conn, in, o, events)
	l.log.Debug("link up", "client_id", o.ClientID, "session_present", s.Present)
	l.start()
	return l, s, nil
}

// handshake sends CONNECT and waits for the answer.
func (d *Dialer) handshake(ctx context.Context, conn broker.Conn, in *frames, o broker.ConnectOptions, connect []byte) (broker.Session, error) {
	timeout := positive(d.ConnectTimeout, defaultConnectTimeout)
	limited, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	// A closed Conn is what makes Read and Write return.
	stop := context.AfterFunc(limited, func() { conn.Close() })
	s, err := exchange(conn, in, o, connect)
	if stop() {
		return s, err
	}
	var refused *broker.RefusedError
	switch {
	case errors.As(err, &refused):
		return s, err // it was in time
	case ctx.Err() != nil:
		return s, fmt.Errorf("wait for the broker to answer CONNECT: %w", context.Cause(ctx))
	}
	return s, &broker.HintedError{
		Err:    fmt.Errorf("no answer to CONNECT for %v", timeout),
		Advice: "check that this is the port of an MQTT broker, with TLS or without as the address says, and that the broker is well",
	}
}

func exchange(conn broker.Conn, in *frames, o broker.ConnectOptions, connect []byte) (broker.Session, error) {
	_, written := conn.Write(connect)
	// Also when it could not be written: the broker may have said why.
	connack, flags, err := readConnack(in)
	switch {
	case err == nil:
		return session(o, flags, connack)
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, broker.ErrHungUp):
		return broker.Session{}, &broker.HintedError{
			Err:    broker.ErrNoAnswer,
			Advice: "check that this is the port of an MQTT broker, with TLS or without as the address says (a WebSocket listener needs ws:// or wss://); some brokers hang up on a username, password, client id or certificate that they do not like",
		}
	case written != nil && broker.Hint(err) == "":
		return broker.Session{}, fmt.Errorf("send CONNECT: %w", written)
	}
	return broker.Session{}, fmt.Errorf("wait for the broker to answer CONNECT: %w", err)
}

// positive is v, or what stands for its zero value.
func positive[T int | time.Duration](v, standard T) T {
	if v > 0 {
		return v
	}
	return standard
}
