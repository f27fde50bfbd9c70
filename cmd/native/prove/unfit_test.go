//go:build unix

package prove

import (
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/mqttdb/mqttdb/config"
	"github.com/mqttdb/mqttdb/internal/mosquitto"
	"github.com/mqttdb/mqttdb/types"
)

// Whoever points it at a broker that does not do for it is told why, and what to
// do; nothing is left there or on the disk.
func TestBrokersThatDoNotDo(t *testing.T) {
	t.Parallel()
	rights := func(t *testing.T, lines string) string {
		file := filepath.Join(t.TempDir(), "acl")
		if err := os.WriteFile(file, []byte(lines), 0o600); err != nil {
			t.Fatal(err)
		}
		return "acl_file " + file
	}
	tests := []struct {
		name   string
		broker func(t *testing.T) *mosquitto.Broker
		change func(*Options)
		says   string
	}{
		{
			name: "nobody may read",
			broker: func(t *testing.T) *mosquitto.Broker {
				return mosquitto.Start(t, mosquitto.WithConfig(rights(t, "topic readwrite elsewhere/#\n")))
			},
			says: "this user may not publish there, or not read it (allow that, or choose other topics by --topic)",
		},
		{
			name: "nobody may publish",
			broker: func(t *testing.T) *mosquitto.Broker {
				return mosquitto.Start(t, mosquitto.WithConfig(rights(t, "topic read mqttdb-prove/#\n")))
			},
			says: "and did not deliver it to the subscriber within 10s: this user may not publish there",
		},
		{
			name: "QoS 1 at most",
			broker: func(t *testing.T) *mosquitto.Broker {
				return mosquitto.Start(t, mosquitto.WithConfig("max_qos 1"))
			},
			change: func(o *Options) { o.QoS = []types.QoS{2} },
			says:   "QoS 2",
		},
		{
			name: "one client id for all",
			broker: func(t *testing.T) *mosquitto.Broker {
				return mosquitto.Start(t, mosquitto.WithUser("gw", "right"), mosquitto.WithConfig("use_username_as_clientid true"))
			},
			change: func(o *Options) { o.Connection.Username, o.Connection.Password = "gw", "right" },
			says:   "the broker ended the link of the subscriber when another client connected. It may take the two for one",
		},
		{
			name: "the password is wrong",
			broker: func(t *testing.T) *mosquitto.Broker {
				return mosquitto.Start(t, mosquitto.WithUser("gw", "right"))
			},
			change: func(o *Options) { o.Connection.Username, o.Connection.Password = "gw", "wrong" },
			says:   "the broker says that this client is not authorized (check username and password_file",
		},
		{
			name: "it does not run",
			broker: func(t *testing.T) *mosquitto.Broker {
				b := mosquitto.Start(t)
				b.Stop()
				return b
			},
			says: "connection refused (nothing listens there: check the port, and that the broker runs)",
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			b := test.broker(t)
			o := proofAt(t, "mqtt://"+b.Addr())
			o.QoS = []types.QoS{1}
			if test.change != nil {
				test.change(&o)
			}
			r, err := Run(t.Context(), o)
			if err == nil || !strings.Contains(err.Error(), test.says) || !strings.Contains(err.Error(), b.Addr()) || strings.Contains(err.Error(), "\n") {
				t.Errorf("%v\nwant %s", err, test.says)
			}
			if r.Proven() || len(r.Verdicts) > 0 {
				t.Errorf("it says something about the gateway:\n%s", text(t, r))
			}
			removed(t, o, b)
		})
	}
}

// A broker that does no QoS 2 does for QoS 1, and that is said.
func TestQoSThatTheBrokerDoes(t *testing.T) {
	t.Parallel()
	b := mosquitto.Start(t, mosquitto.WithConfig("max_qos 1"))
	o := proofAt(t, "mqtt://"+b.Addr())
	r, err := Run(t.Context(), o)
	if err != nil || !r.Proven() || len(r.Verdicts) != 1 || r.Verdicts[0].QoS != 1 || len(r.Unfit) != 1 || !strings.Contains(text(t, r), "QoS 2 was not tried: ") {
		t.Fatalf("%v\n%s", err, text(t, r))
	}
	removed(t, o, b)
}

// A connection that is to use QoS 1 is taken at its word.
func TestQoSThatTheConnectionDoes(t *testing.T) {
	t.Parallel()
	b := mosquitto.Start(t)
	o := proofAt(t, "mqtt://"+b.Addr())
	o.Connection.MaxQoS = config.QoS1
	o.Messages, o.Kills, o.Cuts = 10, 0, 0
	if r, err := Run(t.Context(), o); err != nil || !r.Proven() || len(r.Unfit) != 1 {
		t.Errorf("%v\n%s", err, text(t, r))
	}
	o.QoS = []types.QoS{2}
	if _, err := Run(t.Context(), o); err == nil || !strings.Contains(err.Error(), "the connection has max_qos 1") {
		t.Error(err)
	}
}

// What a broker forgets is not laid at the gateway's door: it is restarted, and
// keeps nothing on disk.
func TestBrokerThatForgets(t *testing.T) {
	t.Parallel()
	b := mosquitto.Start(t)
	o := proofAt(t, "mqtt://"+b.Addr())
	o.QoS = []types.QoS{1}
	restarted := false
	o.Progress = func(p Progress) {
		if p.Done > 0 && !restarted {
			restarted = true
			b.Restart()
		}
	}
	o.Messages = 50000
	r, err := Run(t.Context(), o)
	if !errors.Is(err, errForgot) || r.Proven() || !strings.Contains(text(t, r), "not finished") {
		t.Errorf("%v\n%s", err, text(t, r))
	}
}

// One that is restarted and keeps what it has said costs nothing.
func TestBrokerThatKeeps(t *testing.T) {
	t.Parallel()
	b := mosquitto.Start(t, mosquitto.WithConfig("persistence true", "persistence_location "+t.TempDir()+"/"))
	o := proofAt(t, "mqtt://"+b.Addr())
	restarted := false
	o.Progress = func(p Progress) {
		if p.Done > 0 && !restarted {
			restarted = true
			b.Stop()
			b.Restart()
		}
	}
	r, err := Run(t.Context(), o)
	if err != nil || !r.Proven() || !restarted {
		t.Errorf("%v\n%s", err, text(t, r))
	}
}

// Something else than a broker is told apart.
func TestNoBroker(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			conn.Read(make([]byte, 100))
			conn.Write([]byte("HTTP/1.1 400 Bad Request\r\n\r\n"))
			conn.Close()
		}
	}()
	o := proofAt(t, "mqtt://"+l.Addr().String())
	if _, err := Run(t.Context(), o); err == nil || !strings.Contains(err.Error(), "that is not an MQTT broker") {
		t.Error(err)
	}
}
