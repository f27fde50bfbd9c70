//go:build !js

package mqttdb

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/url"
	"os"

	"github.com/mqttdb/mqttdb/broker"
	"github.com/mqttdb/mqttdb/broker/dial"
	"github.com/mqttdb/mqttdb/broker/mqtt"
	"github.com/mqttdb/mqttdb/config"
	"github.com/mqttdb/mqttdb/persistence/journal"
	"github.com/mqttdb/mqttdb/persistence/memory"
	"github.com/mqttdb/mqttdb/persistence/nutsdb"
	"github.com/mqttdb/mqttdb/runtime"
)

// Hooks let a program take part in how brokers are reached. All are optional,
// and are called for each attempt.
type Hooks struct {
	// TLS changes the TLS configuration that the connection's settings give,
	// for brokers that are reached by mqtts or wss.
	TLS func(connection string, c *tls.Config) error

	// Dial opens the network connection, instead of a net.Dialer.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
}

// options chooses the technologies of a native program.
func options(c Config, cfg config.Config, p *policies) (runtime.Options, error) {
	durable := c.Store
	if durable == nil {
		store, err := nutsdb.Open(cfg.DataDir, nutsdb.Options{Logger: c.Logger, Lazy: p.lazy, MinFree: p.minFree})
		if err != nil {
			return runtime.Options{}, err
		}
		durable = store
	}
	return runtime.Options{
		Config:     cfg,
		Durable:    durable,
		Volatile:   memory.New(memory.Options{Journal: journal.Options{Logger: c.Logger}}),
		Dialer:     func(conn config.Connection) (broker.Dialer, error) { return dialer(c, conn) },
		Login:      login,
		Local:      c.Local,
		Paused:     c.Paused,
		Buffered:   c.Buffered,
		System:     c.System,
		Latencies:  c.Latencies,
		SystemName: c.SystemName,
		Logger:     c.Logger,
	}, nil
}

// dialer makes what opens links to the broker of conn. What lies in files, or in
// the environment, is read again for each attempt.
func dialer(c Config, conn config.Connection) (broker.Dialer, error) {
	if _, err := config.ParseBroker(conn.Broker); err != nil {
		return nil, err
	}
	if conn.TLS.InsecureSkipVerify && c.Logger != nil {
		c.Logger.Warn("tls.insecure_skip_verify: whoever is on the way to the broker can read and change everything, passwords too", "conn", conn.Name)
	}
	network := func(ctx context.Context) (broker.Conn, error) {
		settings, err := tlsConfig(conn.TLS)
		if err != nil {
			return nil, err
		}
		if c.TLS != nil {
			if err := c.TLS(conn.Name, settings); err != nil {
				return nil, fmt.Errorf("TLS settings of %s: %w", conn.Name, err)
			}
		}
		through, err := proxy(conn)
		if err != nil {
			return nil, fmt.Errorf("proxy of %s: %w", conn.Name, err)
		}
		open, err := dial.Network(dial.Options{URL: conn.Broker, TLS: settings, Proxy: through, DialContext: c.Hooks.Dial})
		if err != nil {
			return nil, err
		}
		return open(ctx)
	}
	return &mqtt.Dialer{Network: network, Logger: c.Logger}, nil
}

// proxy is what the broker of conn is reached through; nil: nothing.
func proxy(conn config.Connection) (*url.URL, error) {
	switch conn.Proxy {
	case config.DirectProxy:
		return nil, nil
	case "":
		return dial.EnvironmentProxy(conn.Broker)
	}
	return dial.ParseProxy(conn.Proxy)
}

// tlsConfig reads what t names.
func tlsConfig(t config.TLS) (*tls.Config, error) {
	c := &tls.Config{
		MinVersion:         tls.VersionTLS12,
		ServerName:         t.ServerName,
		NextProtos:         t.ALPN,
		InsecureSkipVerify: t.InsecureSkipVerify, // asked for by the configuration
	}
	if t.CAFile != "" {
		pem, err := os.ReadFile(t.CAFile)
		if err != nil {
			return nil, fmt.Errorf("tls.ca_file: %w", err)
		}
		c.RootCAs = x509.NewCertPool()
		if !c.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("tls.ca_file: %s holds no certificate in PEM form", t.CAFile)
		}
	}
	if t.CertFile != "" {
		pair, err := tls.LoadX509KeyPair(t.CertFile, t.KeyFile)
		if err != nil {
			return nil, fmt.Errorf("tls.cert_file and tls.key_file: %w", err)
		}
		c.Certificates = []tls.Certificate{pair}
	}
	return c, nil
}

// login returns the username and the password of a connection.
func login(ctx context.Context, c config.Connection) (string, []byte, error) {
	switch {
	case c.Credentials != nil:
		username, password, err := c.Credentials(ctx)
		if err != nil {
			return "", nil, fmt.Errorf("credentials of %s: %w", c.Name, err)
		}
		return username, []byte(password.Reveal()), nil
	case c.PasswordFile != "":
		text, err := os.ReadFile(c.PasswordFile)
		if errors.Is(err, fs.ErrNotExist) {
			return "", nil, fmt.Errorf("password_file: %s does not exist", c.PasswordFile)
		} else if err != nil {
			return "", nil, fmt.Errorf("password_file: %w", err)
		}
		return c.Username, []byte(config.SecretFrom(text).Reveal()), nil
	case c.Password != "":
		return c.Username, []byte(c.Password.Reveal()), nil
	}
	return c.Username, nil, nil
}
