package mqtt

import (
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mqttdb/mqttdb/broker"
)

func TestAnswersToConnect(t *testing.T) {
	tests := []struct {
		name    string
		connack string
		change  func(*broker.ConnectOptions)
		present bool
		refused byte
		says    string
		hint    string
	}{
		{name: "accepted", connack: "\x20\x02\x00\x00"},
		{name: "session present", connack: "\x20\x02\x01\x00", present: true},
		{name: "session present although clean", connack: "\x20\x02\x01\x00", change: func(o *broker.ConnectOptions) { o.CleanSession = true }},
		{name: "3.1 has no session flag", connack: "\x20\x02\x01\x00", change: func(o *broker.ConnectOptions) { o.Protocol = broker.MQTT31 }},
		{name: "3.1 has no reserved flags", connack: "\x20\x02\xfe\x00", change: func(o *broker.ConnectOptions) { o.Protocol = broker.MQTT31 }},
		{name: "wrong version", connack: "\x20\x02\x00\x01", refused: 1, says: "version", hint: "protocol"},
		{name: "wrong client id", connack: "\x20\x02\x00\x02", refused: 2, says: "client id", hint: "client_id"},
		{name: "unavailable", connack: "\x20\x02\x00\x03", refused: 3, says: "not available", hint: "again"},
		{name: "wrong password", connack: "\x20\x02\x00\x04", refused: 4, says: "password", hint: "password_file"},
		{name: "not authorized, with a session flag", connack: "\x20\x02\x01\x05", refused: 5, says: "not authorized", hint: "password_file"},
		{name: "a code that there is not", connack: "\x20\x02\x00\x80", refused: 128, says: "code 128"},
		{name: "reserved flags", connack: "\x20\x02\x02\x00", says: "CONNACK with flags 0x02"},
		{name: "too short", connack: "\x20\x01\x00", says: "CONNACK of 1 bytes"},
		{name: "too long, as MQTT 5 has it", connack: "\x20\x03\x00\x00\x00", says: "CONNACK of 3 bytes"},
		{name: "another packet first", connack: "\x40\x02\x00\x01", says: "not an MQTT broker"},
		{name: "an HTTP server", connack: "HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n", says: `not an MQTT broker: it answered "HTTP/1.1 400 Bad Request"`, hint: "ws://"},
		{name: "an SSH server", connack: "SSH-2.0-OpenSSH_9.2\r\n", says: `"SSH-2.0-OpenSSH_9.2"`, hint: "port"},
		{name: "a TLS server", connack: "\x15\x03\x01\x00\x02\x02\x16", says: "answered with TLS", hint: "mqtts://"},
		{name: "garbage", connack: "\xff\x00\x01" + strings.Repeat("z", 500), says: "not an MQTT broker", hint: "port"},
		{name: "a hang-up", says: "closed the connection without an answer", hint: "TLS"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			o := options()
			if test.change != nil {
				test.change(&o)
			}
			var connack []byte
			if test.connack != "" {
				connack = []byte(test.connack)
			}
			p, _, session, err := answer(t, nil, o, connack)
			if test.says == "" {
				if err != nil || session.Present != test.present || session.MaxQoS != 2 {
					t.Errorf("%+v, %v", session, err)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), test.says) || !strings.Contains(broker.Hint(err), test.hint) {
				t.Errorf("%v (%s)", err, broker.Hint(err))
			}
			var refused *broker.RefusedError
			if errors.As(err, &refused) != (test.refused != 0) || refused != nil && refused.Code != test.refused {
				t.Errorf("refused: %+v", refused)
			}
			if len(p.events) > 0 {
				t.Errorf("told %v although Dial failed", p.events)
			}
		})
	}
}

// What arrives right behind CONNACK, in the same read, is told.
func TestNothingIsLostBehindConnack(t *testing.T) {
	p, _, _, err := answer(t, nil, options(), []byte("\x20\x02\x01\x00\x30\x04\x00\x01ax\x62\x02"))
	if err != nil {
		t.Fatal(err)
	}
	p.says(0, 9)
	p.until(func() bool { return len(p.events) == 2 })
	if got := show(p.events[0]) + "; " + show(p.events[1]); got != `received message 0 QoS 0 "a": "x"; received release 9` {
		t.Error(got)
	}
}

func TestSilenceAfterConnect(t *testing.T) {
	tests := []struct {
		name    string
		timeout time.Duration // the dialer's
		reads   bool          // the peer takes CONNECT
		limit   time.Duration // the caller's
		want    time.Duration
		says    string
		isCause error
	}{
		{name: "the default", reads: true, want: 10 * time.Second, says: "no answer to CONNECT for 10s"},
		{name: "our own timeout", timeout: time.Second, reads: true, want: time.Second, says: "no answer to CONNECT for 1s"},
		{name: "a peer that does not even read", want: 10 * time.Second, says: "no answer to CONNECT for 10s"},
		{name: "the caller's deadline", reads: true, limit: 3 * time.Second, want: 3 * time.Second, says: "wait for the broker", isCause: context.DeadlineExceeded},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				near, far := net.Pipe()
				defer far.Close()
				if test.reads {
					go io.Copy(io.Discard, far)
				}
				ctx := t.Context()
				if test.limit > 0 {
					var cancel context.CancelFunc
					ctx, cancel = context.WithTimeout(ctx, test.limit)
					defer cancel()
				}
				d := Dialer{ConnectTimeout: test.timeout, Network: func(context.Context) (broker.Conn, error) { return near, nil }}
				start := time.Now()
				_, _, err := d.Dial(ctx, options(), func(e broker.Event) { t.Errorf("told %v", e) })
				if err == nil || !strings.Contains(err.Error(), test.says) || time.Since(start) != test.want {
					t.Errorf("after %v: %v", time.Since(start), err)
				}
				if test.isCause != nil && !errors.Is(err, test.isCause) {
					t.Errorf("%v is not %v", err, test.isCause)
				}
			})
		})
	}
}
