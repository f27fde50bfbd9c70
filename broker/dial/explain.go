//go:build !js

package dial

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"syscall"
	"time"

	"github.com/mqttdb/mqttdb/broker"
)

var errTimeout = errors.New("timeout")

// explain says in an operator's words why a broker was not reached, and what to
// do about it.
func explain(t target, timeout time.Duration, err error) error {
	what, advice := reason(t, timeout, err)
	e := fmt.Errorf("connect to %s: %w", t.addr, err)
	if what != "" {
		e = &explained{text: fmt.Sprintf("connect to %s: %s", t.addr, what), err: err}
	}
	if advice == "" {
		return e
	}
	return &broker.HintedError{Err: e, Advice: advice}
}

// explained is an error in better words than its cause's.
type explained struct {
	text string
	err  error
}

func (e *explained) Error() string { return e.text }
func (e *explained) Unwrap() error { return e.err }

// reason puts err into words; what is "" where err's own will do.
func reason(t target, timeout time.Duration, err error) (what, advice string) {
	var dns *net.DNSError
	var upgrade *upgradeError
	var handshake *handshakeError
	var proxy *proxyError
	switch {
	case errors.As(err, &proxy) && !errors.Is(err, errTimeout):
		return proxyReason(t, proxy)
	case errors.Is(err, errTimeout):
		return fmt.Sprintf("no answer for %v", timeout), "check the address, and that no firewall is between"
	case errors.As(err, &handshake):
		return tlsReason(t, handshake.err)
	case errors.As(err, &upgrade):
		return upgrade.Error() + " to the WebSocket handshake", "check path and port: the broker must have a WebSocket listener there"
	case errors.As(err, &dns) && dns.IsNotFound:
		return fmt.Sprintf("there is no host named %q", dns.Name), "check the broker's name, and this machine's DNS"
	case errors.As(err, &dns):
		return fmt.Sprintf("the name %q cannot be looked up now: %s", dns.Name, dns.Err), "check this machine's network and DNS"
	case errors.Is(err, syscall.ECONNREFUSED):
		return "connection refused", "nothing listens there: check the port, and that the broker runs"
	case errors.Is(err, syscall.ENETUNREACH), errors.Is(err, syscall.EHOSTUNREACH):
		return "no route to the broker", "check this machine's network, and the address"
	case t.websocket && strings.Contains(err.Error(), "malformed HTTP"):
		return "the server answered the WebSocket handshake with something else than HTTP", notWebSocket(t)
	case t.websocket && hungUp(err):
		return "the server closed the connection instead of answering the WebSocket handshake", notWebSocket(t)
	case hungUp(err):
		return "the server closed the connection", "check the port: does it speak what the scheme " + t.url.Scheme + " says?"
	}
	return "", ""
}

// hungUp says whether the other side has ended the connection.
func hungUp(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
}

// notWebSocket says what to try where no WebSocket listener is.
func notWebSocket(t target) string {
	if t.tls {
		return "if this is the broker's port for MQTT over TLS, use mqtts://; else the port of its WebSocket listener"
	}
	return "if this is the broker's port for MQTT, use mqtt://; if it wants TLS, wss:// or mqtts://; else the port of its WebSocket listener"
}

func tlsReason(t target, err error) (what, advice string) {
	var authority x509.UnknownAuthorityError
	var name x509.HostnameError
	var invalid x509.CertificateInvalidError
	var notTLS tls.RecordHeaderError
	var remote *net.OpError
	plain := "mqtt://"
	if t.websocket {
		plain = "ws://"
	}
	switch {
	case errors.As(err, &authority):
		return "the broker's certificate is signed by an authority that is not known here", "set tls.ca_file to the certificate of that authority"
	case errors.As(err, &name):
		return "the broker's certificate is not for this name: " + name.Error(), "use a name that the certificate has, or set tls.server_name to one"
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return "the broker's certificate is not valid now: " + invalid.Detail, "renew the broker's certificate, or set this machine's clock"
	case errors.As(err, &invalid):
		return "the broker's certificate cannot be used: " + invalid.Error(), "give the broker a certificate for servers"
	case errors.As(err, &notTLS):
		return "the server does not speak TLS on this port", "use " + plain + " or the broker's port for TLS"
	case errors.As(err, &remote) && remote.Op == "remote error": // how crypto/tls reports an alert
		return "the broker refuses the TLS handshake: " + remote.Err.Error(), "check tls.cert_file and tls.key_file: does the broker ask for a client certificate?"
	case hungUp(err):
		return "the server closed the connection in the TLS handshake", "check that the port is the one for TLS; else use " + plain
	}
	return "TLS handshake: " + err.Error(), ""
}
