package inbrowser

import (
	"testing"

	"github.com/mqttdb/mqttdb/internal/mosquitto"
)

func TestCalls(t *testing.T) {
	for name, shared := range map[string]string{"in a SharedWorker": "true", "in the Worker of the tab": "false"} {
		t.Run(name, func(t *testing.T) {
			s := newScene(t, withMosquitto())
			s.listen("")
			s.play("calls", "SHARED="+shared)
		})
	}
}

func TestOrigins(t *testing.T) {
	s := newScene(t, withMosquitto())
	s.listen("")
	s.play("origins")
}

func TestTroubles(t *testing.T) {
	s := newScene(t, withMosquitto(mosquitto.WithUser("page", "secret"), mosquitto.WithUser("listener", "secret")))
	s.listen("listener")
	s.play("troubles")
}

func TestExample(t *testing.T) {
	s := newScene(t, withMosquitto())
	s.listen("")
	s.play("example")
}
