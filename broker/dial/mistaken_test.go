//go:build unix

package dial_test

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/mqttdb/mqttdb/broker"
	"github.com/mqttdb/mqttdb/broker/dial"
	"github.com/mqttdb/mqttdb/internal/mosquitto"
)

// Whoever calls a listener of a real broker by the scheme of another one is told
// what to try.
func TestMistakenSchemes(t *testing.T) {
	cert := certificate(t, "", time.Now().Add(time.Hour))
	certFile, keyFile := files(t, cert)
	plain := mosquitto.Start(t, mosquitto.WithWebSocket())
	secure := mosquitto.Start(t, mosquitto.WithConfig("certfile "+certFile, "keyfile "+keyFile))
	secureWeb := mosquitto.Start(t, mosquitto.WithWebSocket(), mosquitto.WithConfig("certfile "+certFile, "keyfile "+keyFile))
	tests := []struct{ name, url, says, hint string }{
		{"MQTT at a TLS port", "mqtt://" + secure.Addr(), "without an answer to CONNECT", "with TLS or without"},
		{"MQTT at a WebSocket port", "mqtt://" + plain.WebSocketAddr(), "not an MQTT broker", "ws://"},
		{"MQTT at a WebSocket port with TLS", "mqtt://" + secureWeb.WebSocketAddr(), "without an answer to CONNECT", "wss://"},
		{"TLS at a plain port", "mqtts://" + plain.Addr(), "in the TLS handshake", "mqtt://"},
		{"TLS at a WebSocket port", "mqtts://" + plain.WebSocketAddr(), "does not speak TLS", "mqtt://"},
		{"TLS at a WebSocket port with TLS", "mqtts://" + secureWeb.WebSocketAddr(), "not an MQTT broker", "wss://"},
		{"WebSocket at a plain port", "ws://" + plain.Addr(), "instead of answering the WebSocket handshake", "use mqtt://"},
		{"WebSocket at a TLS port", "ws://" + secure.Addr(), "instead of answering the WebSocket handshake", "mqtts://"},
		{"WebSocket at one with TLS", "ws://" + secureWeb.WebSocketAddr(), "WebSocket handshake", "wss://"},
		{"WebSocket with TLS at a plain port", "wss://" + plain.Addr(), "in the TLS handshake", "ws://"},
		{"WebSocket with TLS at a TLS port", "wss://" + secure.Addr(), "instead of answering the WebSocket handshake", "mqtts://"},
		{"WebSocket with TLS at a WebSocket port", "wss://" + plain.WebSocketAddr(), "does not speak TLS", "ws://"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			complains(t, dial.Options{URL: test.url, TLS: trusting(cert)}, test.says, test.hint)
		})
	}
}

// With TLS 1.3 a broker says only after the handshake that it wants another
// certificate, and what it says may be lost with the connection.
func TestClientCertificateIsRefused(t *testing.T) {
	cert := certificate(t, "", time.Now().Add(time.Hour))
	other := certificate(t, "", time.Now().Add(time.Hour))
	certFile, keyFile := files(t, cert)
	b := mosquitto.Start(t, mosquitto.WithConfig("certfile "+certFile, "keyfile "+keyFile, "cafile "+certFile, "require_certificate true"))
	with := func(c tls.Certificate) *tls.Config {
		config := trusting(cert)
		config.Certificates = []tls.Certificate{c}
		return config
	}
	if err := connect(t, dial.Options{URL: "mqtts://" + b.Addr(), TLS: with(cert)}); err != nil {
		t.Error(err)
	}
	complains(t, dial.Options{URL: "mqtts://" + b.Addr(), TLS: trusting(cert)}, "", "certificate")
	complains(t, dial.Options{URL: "mqtts://" + b.Addr(), TLS: with(other)}, "", "certificate")
}

// What a broker sees of a TLS connection is as the configuration says: name,
// protocols, no version that is too old.
func TestTLSAsConfigured(t *testing.T) {
	cert := certificate(t, "broker.example", time.Now().Add(time.Hour))
	hello := make(chan *tls.ClientHelloInfo, 1)
	addr := listen(t, func(conn net.Conn) {
		s := tls.Server(conn, &tls.Config{NextProtos: []string{"mqtt"}, GetConfigForClient: func(h *tls.ClientHelloInfo) (*tls.Config, error) {
			hello <- h
			return &tls.Config{Certificates: []tls.Certificate{cert}, NextProtos: []string{"mqtt"}}, nil
		}})
		if s.Handshake() == nil {
			io.WriteString(s, s.ConnectionState().NegotiatedProtocol)
		}
		io.Copy(io.Discard, s)
	})
	config := trusting(cert)
	config.ServerName, config.NextProtos = "broker.example", []string{"x-amzn-mqtt-ca", "mqtt"}
	network, err := dial.Network(dial.Options{URL: "mqtts://" + addr, TLS: config})
	if err != nil {
		t.Fatal(err)
	}
	conn, err := network(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	chosen := make([]byte, 4)
	if _, err := io.ReadFull(conn, chosen); err != nil || string(chosen) != "mqtt" {
		t.Errorf("the broker chose %q, %v", chosen, err)
	}
	h := <-hello
	if h.ServerName != "broker.example" || len(h.SupportedProtos) != 2 {
		t.Errorf("the broker saw %q, %q", h.ServerName, h.SupportedProtos)
	}
	for _, v := range h.SupportedVersions {
		if v < tls.VersionTLS12 {
			t.Errorf("version %#x is offered", v)
		}
	}
	old := &tls.Config{Certificates: []tls.Certificate{cert}, MaxVersion: tls.VersionTLS11, MinVersion: tls.VersionTLS10}
	tooOld := listen(t, serveTLS(old))
	complains(t, dial.Options{URL: "mqtts://" + tooOld, TLS: config}, "TLS handshake", "")
	insecure := &tls.Config{InsecureSkipVerify: true, RootCAs: x509.NewCertPool()}
	network, err = dial.Network(dial.Options{URL: "mqtts://" + addr, TLS: insecure})
	if err != nil {
		t.Fatal(err)
	}
	if conn, err := network(t.Context()); err != nil {
		t.Error(err)
	} else {
		conn.Close()
	}
}

// A connection that is cut with a reset says so, and is one that was hung up on.
func TestReset(t *testing.T) {
	addr := listen(t, func(conn net.Conn) {
		conn.Read(make([]byte, 1000))
		conn.(*net.TCPConn).SetLinger(0) // Close resets
	})
	complains(t, dial.Options{URL: "mqtt://" + addr}, "without an answer to CONNECT", "port of an MQTT broker")
	connack := listen(t, func(conn net.Conn) {
		conn.Read(make([]byte, 1000))
		conn.Write([]byte{0x20, 2, 0, 0})
		conn.Read(make([]byte, 1)) // the DISCONNECT of a link that closes comes too late for some
		conn.(*net.TCPConn).SetLinger(0)
	})
	network, err := dial.Network(dial.Options{URL: "mqtt://" + connack})
	if err != nil {
		t.Fatal(err)
	}
	conn, err := network(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.Write([]byte("hello"))
	if _, err := io.ReadFull(conn, make([]byte, 4)); err != nil {
		t.Fatal(err)
	}
	conn.Write([]byte("x"))
	_, err = conn.Read(make([]byte, 1))
	saysReset(t, err)
}

func saysReset(t *testing.T, err error) {
	t.Helper()
	if !errors.Is(err, broker.ErrHungUp) || !strings.Contains(err.Error(), "reset the connection") || broker.Hint(err) == "" {
		t.Errorf("%v (%s)", err, broker.Hint(err))
	}
}
