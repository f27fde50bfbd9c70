//go:build !js

// Package demo shows what the gateway is for: a sensor publishes, a link is cut,
// the gateway is killed, and nothing is lost. Sensor and broker are part of the
// demonstration; the gateway is the real one, in a process of its own.
package demo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"time"

	"github.com/mqttdb/mqttdb/config"
	"github.com/mqttdb/mqttdb/httpapi"
)

// Names of what is environment to the gateway process.
const (
	envBroker  = "MQTTDB_BROKER"
	envDataDir = "MQTTDB_DATA_DIR"
)

// Run runs the demonstration until q is pressed or ctx ends. keys is nil for
// those of the terminal.
func Run(ctx context.Context, out io.Writer, keys <-chan byte) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	d := &demo{screen: newScreen(out), asked: make(chan string, 1)}
	if err := d.start(ctx); err != nil {
		return errors.Join(err, d.stop())
	}
	d.explain()
	restore := func() {}
	if keys == nil {
		keys, restore = readKeys(ctx)
	}
	err := d.loop(ctx, keys)
	d.screen.end()
	restore()
	return errors.Join(err, d.stop())
}

type demo struct {
	screen  *screen
	broker  *upstream // nil: a real one
	sensor  *sensor
	gateway *gateway
	asked   chan string // verbs that come over HTTP
}

func (d *demo) start(ctx context.Context) error {
	prefix := readingPrefix(time.Now())
	url := os.Getenv(envBroker)
	if url == "" {
		b, err := newUpstream(ctx, prefix)
		if err != nil {
			return err
		}
		d.broker, url = b, "mqtt://"+b.addr
	}
	// The gateway must not listen where the broker is to be, or it would find
	// itself there while the broker is not up.
	to, err := config.ParseBroker(url)
	if err != nil {
		return fmt.Errorf("%s: %w", envBroker, err)
	}
	mqtt, err := freePort(1883, to.Port())
	if err != nil {
		return err
	}
	http, err := freePort(8383, "")
	if err != nil {
		return err
	}
	dir := os.Getenv(envDataDir)
	if dir == "" {
		dir = "data"
	}
	if d.gateway, err = startGateway(ctx, mqtt, http, url, dir, false, d.asked); err != nil {
		return err
	}
	d.sensor = startSensor(ctx, mqtt, prefix)
	return nil
}

func (d *demo) explain() {
	g := d.gateway
	d.screen.line("")
	broker := "demo broker"
	if d.broker == nil {
		broker = "your broker"
	}
	d.screen.line("  demo sensor  ->  mqttdb gateway (the real thing)  ->  %s", broker)
	d.screen.line("")
	d.screen.line("  local MQTT   %s", g.mqtt)
	d.screen.line("  status page  http://%s/", g.http)
	d.screen.line("  data, log    %s", g.dataDir)
	if d.broker != nil {
		d.screen.line("  demo broker  %s (in this process; MQTTDB_BROKER=mqtts://... uses a real one)", d.broker.addr)
	} else {
		d.screen.line("  broker       %s (yours, from MQTTDB_BROKER)", os.Getenv(envBroker))
	}
	d.screen.line("")
	d.screen.line("  Try: press c to cut the link to the broker and c to restore it, f to have the disk")
	d.screen.line("  full and f to free it, k to kill -9 the gateway and start it again, q to quit. The")
	d.screen.line("  status page has buttons for that, too. Publish something yourself:")
	d.screen.line("    %s pub --config %s try/me hello", os.Args[0], g.config())
	d.screen.line("    mosquitto_pub -p %s -q 1 -t try/me -m hello", port(g.mqtt))
	d.screen.line("")
}

// loop obeys the keys and shows what happens.
func (d *demo) loop(ctx context.Context, keys <-chan byte) error {
	tick := time.NewTicker(250 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case key, ok := <-keys:
			if !ok {
				keys = nil // no terminal: it runs until it is told to stop
				continue
			}
			switch key {
			case 'q', 3: // ctrl-C arrives as a key
				return nil
			case 'c':
				d.toggleLink(ctx)
			case 'f':
				d.fill(ctx, !d.gateway.full)
			case 'k':
				if err := d.killGateway(ctx); err != nil {
					return err
				}
			}
		case verb := <-d.asked:
			if err := d.demonstrate(ctx, verb); err != nil {
				return err
			}
		case <-d.gateway.process.Exited():
			return fmt.Errorf("the gateway ended by itself: %w", d.gateway.process.Err())
		case <-tick.C:
			d.screen.status(d.status(ctx))
		}
	}
}

// demonstrate does what somebody has asked for over HTTP.
func (d *demo) demonstrate(ctx context.Context, verb string) error {
	up := d.broker != nil && d.broker.up()
	switch {
	case verb == httpapi.DemoKill:
		return d.killGateway(ctx)
	case verb == httpapi.DemoFill, verb == httpapi.DemoFree:
		d.fill(ctx, verb == httpapi.DemoFill)
	case d.broker == nil, verb == httpapi.DemoCut && up, verb == httpapi.DemoMend && !up:
		d.toggleLink(ctx)
	}
	return nil
}

func (d *demo) toggleLink(ctx context.Context) {
	switch {
	case d.broker == nil:
		d.screen.line("c is for the demo broker; cut the link to yours by its network")
	case d.broker.up():
		d.broker.cut()
		d.screen.line("the link is cut: the gateway stores what the sensor publishes; c restores it")
	default:
		if err := d.broker.restore(ctx); err != nil {
			d.screen.line("%v", err)
			return
		}
		d.screen.line("the broker is back: the gateway finds it within seconds and sends what it stored")
	}
}

// fill has the gateway think that its disk is full, or that it is not.
func (d *demo) fill(ctx context.Context, full bool) {
	if err := d.gateway.fill(ctx, full); err != nil {
		d.screen.line("%v", err)
	} else if full {
		d.screen.line("the disk is full, as far as the gateway can tell: the sensor is told to wait, what is stored is sent; f frees it")
	} else {
		d.screen.line("there is room on the disk again: the gateway finds it within a second")
	}
}

func (d *demo) killGateway(ctx context.Context) error {
	d.gateway.process.Kill()
	d.screen.line("kill -9 %d: the gateway is gone, with everything it had in memory", d.gateway.process.Pid())
	g, err := startGateway(ctx, d.gateway.mqtt, d.gateway.http, d.gateway.broker, d.gateway.dataDir, d.gateway.full, d.asked)
	if err != nil {
		return err
	}
	d.gateway = g
	d.screen.line("started again, process %d: it goes on with what is on disk", g.process.Pid())
	return nil
}

func (d *demo) status(ctx context.Context) string {
	s := fmt.Sprintf("sensor: %d stored", d.sensor.acknowledged.Load())
	st, err := d.gateway.process.Status(ctx)
	if err != nil {
		return s + " | gateway: not answering"
	}
	s += fmt.Sprintf(" | gateway: %s, %d pending, %d delivered", st.State, st.Outgoing.Pending, st.Outgoing.Sent)
	if d.broker != nil {
		s += " | broker: " + d.broker.report()
	}
	return s
}

func (d *demo) stop() error {
	var errs []error
	if d.sensor != nil {
		d.sensor.stop()
	}
	if d.gateway != nil {
		errs = append(errs, d.gateway.stop())
	}
	if d.broker != nil {
		d.broker.cut()
	}
	return errors.Join(errs...)
}

// freePort returns the first address on loopback, from port on, that is free,
// and whose port is not taken.
func freePort(port int, taken string) (string, error) {
	for p := port; p < port+100; p++ {
		if strconv.Itoa(p) == taken {
			continue
		}
		addr := net.JoinHostPort("127.0.0.1", strconv.Itoa(p))
		l, err := net.Listen("tcp", addr)
		if err == nil {
			return addr, l.Close()
		}
	}
	return "", fmt.Errorf("no free port on 127.0.0.1 from %d to %d", port, port+99)
}

func port(addr string) string {
	_, p, _ := net.SplitHostPort(addr)
	return p
}
