//go:build !js

package prove

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/mqttdb/mqttdb/cmd/native/setup"
	"github.com/mqttdb/mqttdb/config"
	"github.com/mqttdb/mqttdb/types"
)

// makeScratch makes an empty directory on the disk of dataDir, beside it, or in
// dir if that is not "".
func makeScratch(dataDir, dir string) (string, error) {
	const otherwise = "name a directory on the disk that the gateway is to use, and that this user may write to, by --dir"
	if dir == "" {
		abs, err := filepath.Abs(dataDir)
		if err != nil {
			return "", err
		}
		if dir = filepath.Dir(abs); !sameDisk(dir, abs) {
			return "", fmt.Errorf("%s is a file system of its own, so that beside it would be another disk: %s", abs, otherwise)
		}
	}
	abs, err := filepath.Abs(dir)
	if err != nil {
		return "", err
	}
	scratch, err := os.MkdirTemp(abs, "mqttdb-prove-")
	if err != nil {
		return "", fmt.Errorf("make a scratch store in %s: %w; %s", abs, err, otherwise)
	}
	return scratch, nil
}

func removeScratch(dir string) error {
	if err := os.RemoveAll(dir); err != nil {
		return fmt.Errorf("remove the scratch store: %w; remove %s by hand", err, dir)
	}
	return nil
}

// connectionName is the connection of the gateway that is killed.
const connectionName = "prove"

// gatewayConfig is the configuration of the gateway: the link of c, with a client
// id of its own, through a proxy; of what is published locally nothing but
// topic goes there.
func gatewayConfig(c *config.Connection, clientID, proxy, topic string, qos types.QoS, incoming bool) []byte {
	d := setup.New("Written by mqttdb prove.")
	d.Set(".", "data_dir")
	d.Set("127.0.0.1:0", "mqtt", "listen")
	d.Set("127.0.0.1:0", "http", "listen")
	set := func(value string, path ...string) {
		d.Set(value, append([]string{"connections", connectionName}, path...)...)
	}
	text := func(value string, path ...string) {
		if value != "" {
			set(quote(value), path...)
		}
	}
	text(c.Broker, "broker")
	set(quote(c.Protocol.String()), "protocol")
	text(clientID, "client_id")
	text(c.Username, "username")
	text(c.PasswordFile, "password_file")
	text(c.TLS.CAFile, "tls", "ca_file")
	text(c.TLS.CertFile, "tls", "cert_file")
	text(c.TLS.KeyFile, "tls", "key_file")
	text(c.TLS.ServerName, "tls", "server_name")
	if len(c.TLS.ALPN) > 0 {
		var names []string
		for _, name := range c.TLS.ALPN {
			names = append(names, quote(name))
		}
		set("["+strings.Join(names, ", ")+"]", "tls", "alpn")
	}
	if c.TLS.InsecureSkipVerify {
		set("true", "tls", "insecure_skip_verify")
	}
	text(proxy, "proxy")
	set(strconv.FormatBool(c.Bridge), "bridge")
	set(config.FormatDuration(c.KeepAlive), "keep_alive")
	set(config.FormatDuration(c.StallTimeout), "stall_timeout")
	set(c.Sync.String(), "sync")
	set(config.FormatDuration(c.CommitDelay), "commit_delay")
	set(strconv.Itoa(c.Window), "window")
	set(strconv.FormatInt(c.WindowBytes, 10), "window_bytes")
	set(strconv.Itoa(c.QoS2Window), "qos2_window")
	list := "forward"
	if incoming {
		list = "subscribe"
		set("true", "persist", "incoming")
		set("[]", "forward")
	}
	text(topic, list, "-", "topic")
	set(strconv.Itoa(int(qos)), list, "=", "qos")
	return []byte(d.String())
}

// quote writes a text for the configuration file.
func quote(s string) string { return strconv.Quote(strings.ReplaceAll(s, "$", "$$")) }
