package sidecar

import (
	"strings"
	"testing"
	"time"

	"github.com/mqttdb/mqttdb/config"
)

func TestReadPlan(t *testing.T) {
	p, err := readPlan("b", []byte(`{"url":"mqtts://h:1","client_id":"c","clean":true,"keep_alive":0,"username":"u","password":"p","proxy":"direct","connect":false,
		"tls":{"server_name":"s","alpn":["mqtt"],"insecure":true},"persist":{"outgoing":false,"incoming":true},"compaction_s":7,"protocol":"3.1",
		"will":{"topic":"w","payload":"x","qos":2,"retain":true},"birth":{"topic":""},
		"limits":{"max_messages":1,"max_bytes":2,"max_age_s":3,"min_free_disk":-1,"overflow":"drop_oldest"},"rate":{"messages":4,"bytes":5}}`))
	if err != nil {
		t.Fatal(err)
	}
	c := p.connection
	cfg := config.Config{Connections: []config.Connection{c}}
	if err := cfg.SetDefaultsAndValidate(); err != nil {
		t.Fatal(err)
	}
	for name, ok := range map[string]bool{
		"paused":     p.paused,
		"keep alive": c.KeepAlive == 65535*time.Second,
		"login":      c.Username == "u" && c.Password.Reveal() == "p",
		"proxy":      c.Proxy == config.DirectProxy,
		"tls":        c.TLS.ServerName == "s" && c.TLS.InsecureSkipVerify && len(c.TLS.ALPN) == 1 && p.tls == nil,
		"persist":    c.Persist == config.Persist{Outgoing: config.Off, Incoming: config.On},
		"protocol":   c.Protocol == config.MQTT31 && c.CleanSession,
		"notices":    c.Will.QoS == 2 && c.Will.Retain && c.Birth == nil && c.Close == nil,
		"compaction": c.CompactionInterval == 7*time.Second,
		"limits":     c.Limits.Limit == config.Limit{MaxMessages: 1, MaxBytes: 2, MaxAge: 3 * time.Second, MinFreeDisk: -1, Overflow: config.DropOldest},
		"rate":       c.Rate == config.Rate{Messages: 4, Bytes: 5},
		"forward":    c.Forward != nil && len(c.Forward) == 0,
	} {
		if !ok {
			t.Errorf("%s: %+v", name, c)
		}
	}
	again, err := readPlan("b", []byte(`{"url":"mqtt://h"}`))
	if err != nil || again.same(p) || !again.same(again) || !p.renewed(again) {
		t.Errorf("plans are not told apart: %v", err)
	}
}

// Whatever is in it, an error repeats none of it.
func FuzzReadPlan(f *testing.F) {
	f.Add([]byte(`{"url":"mqtt://h","password":"hushhush","tls":{"key":"hushhush","cert":"hushhush","pfx":"aHVzaGh1c2g="}}`))
	f.Add([]byte(`{"password":["hushhush"],"limits":{"overflow":"x"},"protocol":"9"}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		if strings.Contains(string(b), "_file") {
			return // files of the machine would be read
		}
		p, err := readPlan("b", b)
		if err != nil {
			if strings.Contains(err.Error(), "hushhush") {
				t.Errorf("the error says %q", err)
			}
			return
		}
		cfg := config.Config{Connections: []config.Connection{p.connection}}
		if err := cfg.SetDefaultsAndValidate(); err != nil && strings.Contains(err.Error(), "hushhush") && strings.Contains(string(p.connection.Password.Reveal()), "hushhush") &&
			!strings.Contains(p.connection.Broker+p.connection.ClientID+p.connection.Username, "hushhush") {
			t.Errorf("the configuration says %q", err)
		}
	})
}
