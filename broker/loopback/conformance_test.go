package loopback_test

import (
	"testing"

	"github.com/mqttdb/mqttdb/broker/brokertest"
	"github.com/mqttdb/mqttdb/broker/loopback"
)

func TestConformance(t *testing.T) {
	brokertest.Run(t, func(t *testing.T) brokertest.Harness {
		b := loopback.New(1)
		b.Require("user", "secret")
		return brokertest.Harness{
			Dialer:   b,
			Username: "user",
			Password: []byte("secret"),
			Freeze:   b.Freeze,
			Thaw:     b.Thaw,
			Kill:     b.Down,
		}
	})
}
