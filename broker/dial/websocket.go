//go:build !js

package dial

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"

	"github.com/gorilla/websocket"

	"github.com/mqttdb/mqttdb/broker"
)

const (
	subprotocol = "mqtt" // [MQTT-6.0.0-3]
	readBuffer  = 4 << 10
	writeBuffer = 64 << 10 // lent by a pool while something is written
)

// upgradeError is an HTTP answer that is no upgrade.
type upgradeError struct{ status string }

func (e *upgradeError) Error() string { return "the server answered " + e.status }

// websocket makes a WebSocket connection.
func (o Options) websocket(ctx context.Context, t target) (broker.Conn, error) {
	// The dialer heeds the deadline of ctx only; a closed connection is what ends
	// a handshake that nobody waits for any more.
	var stop func() bool
	watched := func(conn net.Conn, err error) (net.Conn, error) {
		if err == nil {
			stop = context.AfterFunc(ctx, func() { conn.Close() })
		}
		return conn, err
	}
	d := websocket.Dialer{
		Subprotocols:    []string{subprotocol},
		ReadBufferSize:  readBuffer,
		WriteBufferSize: writeBuffer,
		WriteBufferPool: new(sync.Pool),
		NetDialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return watched(o.raw(ctx, t))
		},
		NetDialTLSContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return watched(o.secure(ctx, t))
		},
	}
	ws, answer, err := d.DialContext(ctx, t.url.String(), nil)
	if stop != nil && !stop() && err == nil {
		ws.Close()
		err = context.Cause(ctx)
	}
	if err != nil {
		if errors.Is(err, websocket.ErrBadHandshake) && answer != nil {
			return nil, &upgradeError{answer.Status}
		}
		return nil, err
	}
	if chosen := ws.Subprotocol(); chosen != "" && chosen != subprotocol {
		ws.Close()
		return nil, fmt.Errorf("the server chose the WebSocket subprotocol %q instead of %q", chosen, subprotocol)
	}
	return &stream{Conn: ws}, nil
}

// stream makes of messages the stream of bytes that MQTT wants: packets may be
// split and joined over them [MQTT-6.0.0-1,2].
type stream struct {
	*websocket.Conn           // its deadlines and Close
	message         io.Reader // being read; nil: the next
}

var _ broker.Conn = (*stream)(nil)

func (s *stream) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	for {
		if s.message == nil {
			kind, message, err := s.NextReader()
			if err != nil {
				return 0, streamError(err)
			}
			if kind != websocket.BinaryMessage {
				return 0, errors.New("the broker sent a WebSocket message that is not binary [MQTT-6.0.0-1]")
			}
			s.message = message
		}
		n, err := s.message.Read(p)
		if err == io.EOF {
			s.message, err = nil, nil
		}
		if n > 0 || err != nil {
			return n, streamError(err)
		}
	}
}

func (s *stream) Write(p []byte) (int, error) {
	if err := s.WriteMessage(websocket.BinaryMessage, p); err != nil {
		return 0, err
	}
	return len(p), nil
}

// streamError is err as a net.Conn would have it: an end is io.EOF.
func streamError(err error) error {
	if websocket.IsCloseError(err, websocket.CloseNormalClosure, websocket.CloseGoingAway, websocket.CloseNoStatusReceived, websocket.CloseAbnormalClosure) {
		return io.EOF
	}
	return err
}
