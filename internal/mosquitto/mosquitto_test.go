//go:build unix

package mosquitto_test

import (
	"net"
	"testing"

	"github.com/mqttdb/mqttdb/internal/mosquitto"
)

func TestLifeOfABroker(t *testing.T) {
	b := mosquitto.Start(t, mosquitto.WithWebSocket(), mosquitto.WithUser("user", "secret"))
	accepts := func(addr string) bool {
		conn, err := net.Dial("tcp", addr)
		if err == nil {
			conn.Close()
		}
		return err == nil
	}
	addr := b.Addr()
	for _, end := range []func(){b.Stop, b.Kill, func() { b.Freeze(); b.Stop() }} {
		if !accepts(b.Addr()) || !accepts(b.WebSocketAddr()) {
			t.Fatal("it does not accept connections")
		}
		end()
		if accepts(b.Addr()) {
			t.Fatal("it still accepts connections")
		}
		b.Restart()
		if b.Addr() != addr {
			t.Fatalf("it moved from %s to %s", addr, b.Addr())
		}
	}
}

// A SIGTERM right after the start is not forgotten.
func TestStopAtOnce(t *testing.T) {
	b := mosquitto.Start(t)
	for range 20 {
		b.Stop()
		b.Restart()
	}
}
