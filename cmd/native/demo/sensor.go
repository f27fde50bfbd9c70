//go:build !js

package demo

import (
	"context"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/mqttdb/mqttdb/broker"
	"github.com/mqttdb/mqttdb/broker/dial"
	"github.com/mqttdb/mqttdb/broker/mqtt"
	"github.com/mqttdb/mqttdb/types"
)

// What the sensor publishes: readings that are numbered from 1, so that the demo
// broker can tell whether one is missing.
const (
	readingTopic = "demo/sensor/reading"
	perSecond    = 5
)

// readingPrefix begins the readings of one run of the demo: those of an earlier
// one may still be in its data directory.
func readingPrefix(run time.Time) string { return "run " + run.Format("150405.000") + " reading " }

// sensor is the demo sensor: an MQTT client as simple as they are, that keeps
// publishing one reading until it is acknowledged.
type sensor struct {
	acknowledged atomic.Uint64
	cancel       context.CancelFunc
	done         chan struct{}
}

func startSensor(ctx context.Context, addr, prefix string) *sensor {
	ctx, cancel := context.WithCancel(ctx)
	s := &sensor{cancel: cancel, done: make(chan struct{})}
	go func() {
		defer close(s.done)
		for next := uint64(1); ctx.Err() == nil; {
			next = s.connect(ctx, addr, prefix, next)
			pause(ctx, 500*time.Millisecond)
		}
	}()
	return s
}

func (s *sensor) stop() {
	s.cancel()
	<-s.done
}

// connect publishes on one connection, from number next on, until it breaks. It
// returns the first number that was not acknowledged.
func (s *sensor) connect(ctx context.Context, addr, prefix string, next uint64) uint64 {
	network, err := dial.Network(dial.Options{URL: "mqtt://" + addr})
	if err != nil {
		return next
	}
	acked, down := make(chan struct{}, 1), make(chan struct{})
	link, _, err := (&mqtt.Dialer{Network: network}).Dial(ctx, broker.ConnectOptions{
		ClientID: "demo-sensor", CleanSession: true, KeepAlive: 10 * time.Second, Protocol: broker.MQTT311,
	}, func(e broker.Event) {
		switch e.(type) {
		case broker.Acked:
			acked <- struct{}{}
		case broker.Down:
			close(down)
		}
	})
	if err != nil {
		return next
	}
	defer link.Close(true)
	for {
		m := types.Message{Topic: readingTopic, Payload: []byte(prefix + strconv.FormatUint(next, 10)), QoS: 1}
		if link.Publish([]broker.Publish{{ID: uint16(next%60000 + 1), Tag: next, Message: m}}) != nil {
			return next
		}
		select {
		case <-acked:
			next++
			s.acknowledged.Add(1)
		case <-down:
			return next
		case <-ctx.Done():
			return next
		}
		pause(ctx, time.Second/perSecond)
	}
}

// pause waits, but not longer than ctx.
func pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}
