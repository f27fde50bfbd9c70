//go:build !js

package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"syscall"
	"time"

	"github.com/mqttdb/mqttdb/config"
	"github.com/mqttdb/mqttdb/httpapi"
	"github.com/mqttdb/mqttdb/listener"
)

// ports are the addresses of a gateway, open and not served yet: one that is taken
// is noticed before queues are opened and brokers greeted.
type ports struct {
	mqtt *listener.Bound
	http net.Listener
	tls  *tls.Config // of http; nil: it is without TLS
}

// dyingTime is how long a process that was killed may take to let go of its ports.
const dyingTime = time.Second

// bind opens the addresses of a gateway, all or none. Whoever has one of them may
// be the gateway that was killed a moment ago.
func bind(ctx context.Context, c *config.Config, log *slog.Logger) (*ports, error) {
	patience := time.After(dyingTime)
	again := time.NewTicker(50 * time.Millisecond)
	defer again.Stop()
	for {
		p, err := bindOnce(ctx, c, log)
		if !errors.Is(err, syscall.EADDRINUSE) {
			return p, err
		}
		select {
		case <-again.C:
		case <-patience:
			return nil, err
		case <-ctx.Done():
			return nil, err
		}
	}
}

func bindOnce(ctx context.Context, c *config.Config, log *slog.Logger) (*ports, error) {
	mqtt, err := listener.Bind(ctx, endpoints(&c.MQTT), log)
	if err != nil {
		return nil, err
	}
	var secure *tls.Config
	if files := tlsFiles(&c.HTTP.TLS); files != nil {
		if secure, err = listener.ServeTLS(*files, log); err != nil {
			mqtt.Close()
			return nil, fmt.Errorf("http.tls: %w", err)
		}
	}
	http, err := httpapi.Bind(ctx, c.HTTP.Listen)
	if err != nil {
		mqtt.Close()
		return nil, err
	}
	return &ports{mqtt, http, secure}, nil
}

// close closes those that are not served.
func (p *ports) close() {
	p.mqtt.Close()
	p.http.Close()
}
