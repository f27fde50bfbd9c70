//go:build unix

package mqtt_test

import (
	"testing"

	"github.com/mqttdb/mqttdb/broker/brokertest"
	"github.com/mqttdb/mqttdb/broker/mqtt"
	"github.com/mqttdb/mqttdb/internal/mosquitto"
)

func TestConformance(t *testing.T) {
	brokertest.Run(t, func(t *testing.T) brokertest.Harness {
		m := mosquitto.Start(t, mosquitto.WithUser("user", "secret"), mosquitto.WithConfig("max_queued_messages 0", "set_tcp_nodelay true"))
		return brokertest.Harness{
			Dialer:   &mqtt.Dialer{Network: tcp(m.Addr())},
			Username: "user",
			Password: []byte("secret"),
			Freeze:   m.Freeze,
			Thaw:     m.Thaw,
			Kill:     m.Kill,
		}
	})
}
