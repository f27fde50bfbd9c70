package brokertest

import (
	"context"
	"errors"
	"testing"

	"github.com/mqttdb/mqttdb/broker"
)

func sessionPresent(t *testing.T, h Harness) {
	first := h.dial(t, h.options("lasting"))
	if first.session.Present {
		t.Error("a session is present at the first connect")
	}
	first.subscribe("a", 1)
	first.Close(true)
	if err := first.down(); err != nil {
		t.Errorf("Down after Close: %v", err)
	}
	second := h.dial(t, h.options("lasting"))
	if !second.session.Present {
		t.Error("the broker has kept the session, but it is not present")
	}
	second.Close(true)
	second.down()
	if h.clean(t, "lasting").session.Present {
		t.Error("a session is present after a clean connect")
	}
}

func dialFails(t *testing.T, h Harness) {
	told := func(e broker.Event) { t.Errorf("%#v was told although Dial failed", e) }
	o := h.options("client")
	o.Protocol = broker.MQTT5
	if _, _, err := h.Dialer.Dial(t.Context(), o, told); err == nil {
		t.Error("a link that speaks MQTT 5 was not expected")
	}
	h.Freeze()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() {
		_, _, err := h.Dialer.Dial(ctx, h.options("client"), told)
		done <- err
	}()
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("dial with a context that ended: %v", err)
	}
	h.Thaw()
	h.Kill()
	if _, _, err := h.Dialer.Dial(t.Context(), h.options("client"), told); err == nil {
		t.Error("a dead broker was reached")
	}
}

func credentials(t *testing.T, h Harness) {
	if h.Username == "" {
		t.Fatal("the harness has a broker that takes anybody")
	}
	o := h.options("client")
	o.Password = []byte("wrong")
	_, _, err := h.Dialer.Dial(t.Context(), o, func(e broker.Event) { t.Errorf("%#v was told although Dial failed", e) })
	var refused *broker.RefusedError
	if !errors.As(err, &refused) {
		t.Fatalf("dial with a wrong password: %v", err)
	}
	if refused.Code != broker.BadCredentials && refused.Code != broker.NotAuthorized {
		t.Errorf("refused with code %d", refused.Code)
	}
}

func takeover(t *testing.T, h Harness) {
	first := h.clean(t, "same")
	second := h.clean(t, "same")
	if err := first.down(); err == nil {
		t.Error("the first link ended without an error")
	}
	second.publish(1, message("a", 1, "still here"))
	second.acks(1)
}
