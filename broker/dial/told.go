//go:build !js

package dial

import (
	"errors"
	"net"
	"syscall"

	"github.com/mqttdb/mqttdb/broker"
)

// told is a Conn that says in an operator's words why it ended.
type told struct {
	broker.Conn
	to target
}

// Read implements broker.Conn.
func (c told) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	return n, c.explain(err)
}

// Write implements broker.Conn.
func (c told) Write(p []byte) (int, error) {
	n, err := c.Conn.Write(p)
	return n, c.explain(err)
}

func (c told) explain(err error) error {
	if err == nil {
		return nil
	}
	var alert *net.OpError
	switch {
	case errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE), errors.Is(err, syscall.ECONNABORTED):
		return &broker.HintedError{
			Err:    &explained{"the broker, or something on the way to it, reset the connection", errors.Join(broker.ErrHungUp, err)},
			Advice: "the broker's log says why; if it does not, look at firewalls on the way: some cut what is idle, which a shorter keep_alive helps against",
		}
	case errors.As(err, &alert) && alert.Op == "remote error": // with TLS 1.3 a broker says only now that it wants a certificate
		what, advice := tlsReason(c.to, err)
		return &broker.HintedError{Err: &explained{what, err}, Advice: advice}
	}
	return err
}
