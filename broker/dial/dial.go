//go:build !js

// Package dial connects to brokers over TCP, TLS and WebSocket.
package dial

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/mqttdb/mqttdb/broker"
)

const defaultTimeout = 10 * time.Second

// Options say where a broker is and how to get there.
type Options struct {
	// URL is scheme://host[:port][/path]. Schemes, each with its default port:
	//
	//	mqtt, tcp         1883  plain TCP
	//	mqtts, ssl, tls   8883  TLS
	//	ws                  80  WebSocket, with path and query
	//	wss                443  WebSocket on TLS, with path and query
	//
	// A username and password in it are not used here, and never shown.
	URL string

	// TLS is used by the schemes that need it; nil: the system's authorities.
	// ServerName is the host of the URL where it is empty, MinVersion is 1.2
	// where it is 0. It is copied at each attempt, so that its callbacks
	// (GetClientCertificate, VerifyConnection) may look at files again.
	TLS *tls.Config

	// Proxy is an HTTP proxy that opens a tunnel to the broker (CONNECT), whatever
	// the scheme of URL; nil: none. See ParseProxy.
	Proxy *url.URL

	// Timeout is how long all steps together may take; 0 means 10 s.
	Timeout time.Duration

	// DialContext makes the connection below TLS and WebSocket, or that to the
	// proxy; nil: TCP. It may be called concurrently.
	DialContext func(ctx context.Context, network, addr string) (net.Conn, error)

	proxyRoots *x509.CertPool // whom an https proxy may be signed by; nil: the system's
}

// target is where a URL leads.
type target struct {
	url       *url.URL // without user, as a WebSocket handshake wants it
	addr      string   // host:port
	host      string
	tls       bool
	websocket bool
}

// Network checks the options and makes a Network of them. What a Network
// returns as an error wraps its cause, says what to do where that is known
// (broker.Hint), and can be shown: it holds no credentials.
func Network(o Options) (broker.Network, error) {
	t, err := parse(o.URL)
	if err != nil {
		return nil, err
	}
	if o.Timeout <= 0 {
		o.Timeout = defaultTimeout
	}
	if o.DialContext == nil {
		// TCP_NODELAY is Go's default. Keepalive probes find links that nobody
		// uses; MQTT's own find the others.
		o.DialContext = (&net.Dialer{KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: 15 * time.Second, Interval: 15 * time.Second, Count: 4}}).DialContext
	}
	return func(ctx context.Context) (broker.Conn, error) {
		limited, cancel := context.WithTimeoutCause(ctx, o.Timeout, errTimeout)
		defer cancel()
		conn, err := o.connect(limited, t)
		if err != nil {
			if ctx.Err() != nil {
				return nil, fmt.Errorf("connect to %s: %w", t.addr, context.Cause(ctx))
			}
			if limited.Err() != nil || errors.Is(err, os.ErrDeadlineExceeded) {
				err = errors.Join(errTimeout, err)
			}
			return nil, explain(t, o.Timeout, err)
		}
		return told{conn, t}, nil
	}, nil
}

func (o Options) connect(ctx context.Context, t target) (broker.Conn, error) {
	if t.websocket {
		return o.websocket(ctx, t)
	}
	if t.tls {
		return o.secure(ctx, t)
	}
	conn, err := o.raw(ctx, t)
	if err != nil {
		return nil, err
	}
	return conn, nil
}

// parse reads a URL. Its errors do not quote what may hold a password.
func parse(raw string) (target, error) {
	const form = "write it as mqtts://host:8883 (or mqtt, ws, wss)"
	u, err := url.Parse(raw)
	if err != nil {
		return target{}, hinted(form, "the address of the broker is not a URL")
	}
	if u.Opaque != "" || !strings.Contains(raw, "://") {
		return target{}, hinted(form, "the address of the broker has no scheme")
	}
	t := target{host: u.Hostname()}
	port := ""
	switch u.Scheme {
	case "mqtt", "tcp":
		port = "1883"
	case "mqtts", "ssl", "tls":
		port, t.tls = "8883", true
	case "ws":
		port, t.websocket = "80", true
	case "wss":
		port, t.websocket, t.tls = "443", true, true
	default:
		return target{}, hinted(form, "the address of the broker has the scheme %q, which is none of mqtt, mqtts, ws and wss", u.Scheme)
	}
	if t.host == "" {
		return target{}, hinted(form, "the address of the broker has no host")
	}
	if !t.websocket && (u.Path != "" && u.Path != "/" || u.RawQuery != "" || u.Fragment != "") {
		return target{}, hinted("write it as "+u.Scheme+"://host:port; only ws and wss have a path", "the address of the broker has something behind host and port")
	}
	if p := u.Port(); p != "" {
		port = p
	}
	if n, err := net.LookupPort("tcp", port); err != nil || n == 0 {
		return target{}, hinted(form, "the address of the broker has a port that is not 1 to 65535")
	}
	t.addr = net.JoinHostPort(t.host, port)
	t.url = &url.URL{Scheme: u.Scheme, Host: t.addr, Path: u.Path, RawPath: u.RawPath, RawQuery: u.RawQuery}
	return t, nil
}

func hinted(advice, format string, args ...any) error {
	return &broker.HintedError{Err: fmt.Errorf(format, args...), Advice: advice}
}
