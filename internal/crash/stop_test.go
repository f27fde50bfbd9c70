//go:build unix

package crash

import (
	"testing"
	"time"
)

// longestStop is what an operator, and a service manager, wait for.
const longestStop = 5 * time.Second

// SIGTERM under load ends the gateway within five seconds with status 0,
// whatever its broker does, and nothing that it acknowledged is lost.
func TestStop(t *testing.T) {
	tests := []struct {
		name  string
		spoil func(*scene)
		mend  func(*scene)
		again int // messages that may arrive twice
	}{
		{"the broker is up", func(*scene) {}, func(*scene) {}, 0},
		{"the broker is down", (*scene).brokerDown, (*scene).brokerUp, gatewayWindow}, // for the end of the broker, not ours
		{"the broker is frozen", func(s *scene) { s.broker.Freeze() }, func(s *scene) { s.broker.Thaw() }, gatewayWindow},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			s := newScene(t, choices(t).Uint64(), small, nil)
			s.gateway.start()
			s.load.publish(1000)
			s.acked(500)
			test.spoil(s)
			s.load.publish(1 << 20) // more than can be published until the end
			s.acked(1000)
			code, took := s.gateway.stop()
			if code != 0 || took >= longestStop {
				t.Errorf("it took %v and exited with status %d", took, code)
			}
			s.load.rest()
			test.mend(s)
			s.revive()
			o := s.end()
			o.allowed = test.again
			s.check(o)
			t.Logf("it took %v; %+v", took.Round(time.Millisecond), o)
		})
	}
}
