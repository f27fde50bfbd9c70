package inbrowser

import "testing"

func TestCalls(t *testing.T) {
	for name, shared := range map[string]string{"in a SharedWorker": "true", "in the Worker of the tab": "false"} {
		t.Run(name, func(t *testing.T) {
			s := newScene(t)
			s.listen()
			s.play("calls", "SHARED="+shared)
		})
	}
}
