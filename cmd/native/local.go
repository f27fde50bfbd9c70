//go:build !js

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"text/tabwriter"

	"github.com/mqttdb/mqttdb/config"
	"github.com/mqttdb/mqttdb/listener"
	"github.com/mqttdb/mqttdb/types"
)

// listenLocally starts the local broker.
func (g *running) listenLocally(ctx context.Context, bound *listener.Bound) (err error) {
	cfg := &g.config
	g.local, err = listener.Listen(ctx, listener.Options{
		Bound: bound, Users: users(&cfg.MQTT), Sink: sink{g.db}, Sessions: g.db.Runtime, Local: g.shared,
		MaxMessageSize: int(cfg.MaxMessageSize), ReceiveMax: cfg.MQTT.ReceiveMax, Version: "mqttdb " + version, Logger: g.log,
	})
	return err
}

// endpoints are the addresses of the local broker.
func endpoints(m *config.MQTT) (all []listener.Endpoint) {
	add := func(l *config.Listener, path string) {
		e := listener.Endpoint{AllowAnonymous: l.AllowAnonymous, AllowedOrigins: l.AllowedOrigins, TLS: tlsFiles(&l.TLS)}
		if l.Listen != "" {
			e.Addr, e.Setting = l.Listen, path+".listen"
			all = append(all, e)
		}
		if l.WebSocket != "" {
			e.Addr, e.WebSocket, e.Setting = l.WebSocket, true, path+".websocket"
			all = append(all, e)
		}
	}
	add(&m.Listener, "mqtt")
	for i := range m.Listeners {
		add(&m.Listeners[i], "mqtt.listeners["+strconv.Itoa(i)+"]")
	}
	return all
}

// plainAddress is the address at which pub and sub speak to the local broker: they
// have no username and know no TLS.
func plainAddress(m *config.MQTT) (string, error) {
	for _, e := range endpoints(m) {
		if !e.WebSocket && e.TLS == nil && (e.AllowAnonymous || config.Loopback(e.Addr)) {
			return e.Addr, nil
		}
	}
	return "", errors.New("no address of the local broker lets in who has no username, without TLS: add one on loopback (mqtt.listeners), or use another MQTT client")
}

// tlsFiles is nil for an address without TLS.
func tlsFiles(t *config.ServerTLS) *listener.TLSFiles {
	if t.CertFile == "" {
		return nil
	}
	return &listener.TLSFiles{Cert: t.CertFile, Key: t.KeyFile, ClientCA: t.ClientCAFile}
}

// users are those of the local broker.
func users(m *config.MQTT) (all []listener.User) {
	for _, u := range m.Users {
		all = append(all, listener.User{Name: u.Name, PasswordHash: u.PasswordHash.Reveal(), Publish: u.Publish, Subscribe: u.Subscribe})
	}
	return all
}

// clients is what the status says about the local clients.
func clients(s listener.Stats) *types.ClientsStatus {
	return &types.ClientsStatus{
		Connected: s.Clients, Received: s.Received, Delivered: s.Delivered, Dropped: s.Dropped,
		Refused: s.Refused, TurnedAway: s.Away,
	}
}

// describeLocal prints who may connect where.
func describeLocal(w io.Writer, m *config.MQTT) error {
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(tw, "\nLOCAL MQTT\tADDRESS\tSPOKEN THERE\tWITHOUT A USERNAME\tWITH ONE")
	for _, e := range endpoints(m) {
		spoken, nobody, somebody := "MQTT", "refused", "one of mqtt.users"
		if e.WebSocket {
			spoken += " over WebSocket"
		}
		if e.TLS != nil {
			spoken += ", TLS"
		}
		if e.TLS != nil && e.TLS.ClientCA != "" {
			spoken += " with client certificates"
		}
		if e.AllowAnonymous || config.Loopback(e.Addr) {
			nobody = "everything is allowed"
		}
		if len(m.Users) == 0 {
			somebody = "it is not looked at"
		}
		fmt.Fprintf(tw, "%s\t%s\t%s\t%s\t%s\n", e.Setting, e.Addr, spoken, nobody, somebody)
	}
	return tw.Flush()
}

// missingCertificates warns of files of the local broker that serve could not
// use.
func missingCertificates(w io.Writer, m *config.MQTT) error {
	for _, e := range endpoints(m) {
		if e.TLS == nil {
			continue
		}
		if err := listener.CheckTLS(*e.TLS); err != nil {
			if _, err := fmt.Fprintf(w, "warning: %s: %v; serve does not start before that is mended\n", e.Setting, err); err != nil {
				return err
			}
		}
	}
	return nil
}

// join lists addresses.
func join(list []net.Addr) string {
	all := make([]string, len(list))
	for i, a := range list {
		all[i] = a.String()
	}
	return strings.Join(all, ", ")
}
