//go:build unix

package dial_test

import (
	"crypto/tls"
	"testing"
	"time"

	"github.com/mqttdb/mqttdb/broker/brokertest"
	"github.com/mqttdb/mqttdb/broker/dial"
	"github.com/mqttdb/mqttdb/broker/mqtt"
	"github.com/mqttdb/mqttdb/internal/mosquitto"
)

func harness(t *testing.T, url string, config *tls.Config, m *mosquitto.Broker) brokertest.Harness {
	t.Helper()
	network, err := dial.Network(dial.Options{URL: url, TLS: config})
	if err != nil {
		t.Fatal(err)
	}
	return brokertest.Harness{
		Dialer:   &mqtt.Dialer{Network: network},
		Username: "user",
		Password: []byte("secret"),
		Freeze:   m.Freeze,
		Thaw:     m.Thaw,
		Kill:     m.Kill,
	}
}

func TestConformanceOverTLS(t *testing.T) {
	t.Parallel()
	cert := certificate(t, "", time.Now().Add(time.Hour))
	certFile, keyFile := files(t, cert)
	brokertest.Run(t, func(t *testing.T) brokertest.Harness {
		m := mosquitto.Start(t, mosquitto.WithUser("user", "secret"), mosquitto.WithConfig("certfile "+certFile, "keyfile "+keyFile, "set_tcp_nodelay true", "max_queued_messages 0"))
		return harness(t, "mqtts://"+m.Addr(), trusting(cert), m)
	})
}

// mosquitto sends about 40 kB/s to a WebSocket, so this one takes its time.
func TestConformanceOverWebSocket(t *testing.T) {
	t.Parallel()
	brokertest.Run(t, func(t *testing.T) brokertest.Harness {
		m := mosquitto.Start(t, mosquitto.WithUser("user", "secret"), mosquitto.WithWebSocket(), mosquitto.WithConfig("max_queued_messages 0"))
		return harness(t, "ws://"+m.WebSocketAddr()+"/mqtt", nil, m)
	})
}
