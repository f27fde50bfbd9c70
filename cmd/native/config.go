//go:build !js

package main

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"

	"github.com/mqttdb/mqttdb/config"
	"github.com/mqttdb/mqttdb/config/yaml"
)

// searched are the places of the configuration file, when none is named.
var searched = []string{"mqttdb.yaml", "/etc/mqttdb/mqttdb.yaml"}

// load reads the configuration and says where from.
func (o *options) load() (config.Config, string, error) {
	if o.config != "" {
		cfg, err := loadFile(o.config)
		return cfg, fromFile(o.config), err
	}
	for _, name := range searched {
		cfg, err := loadFile(name)
		if !errors.Is(err, fs.ErrNotExist) {
			return cfg, fromFile(name), err
		}
	}
	cfg, err := config.FromEnv(os.LookupEnv)
	source := "the environment (MQTTDB_BROKER and the like)"
	if len(cfg.Connections) == 0 {
		source = "the defaults"
	}
	return cfg, source, err
}

// broker is the source of a configuration that the URL of a broker makes.
func (o *options) broker(url string) (source, error) {
	if o.config != "" {
		return nil, usageError{errors.New("a URL and --config exclude each other: write the URL into the file, as connections.<name>.broker")}
	}
	if _, err := config.ParseBroker(url); err != nil {
		return nil, usageError{fmt.Errorf("the URL %w", err)}
	}
	from := "the command line"
	for _, name := range searched {
		if _, err := os.Stat(name); err == nil {
			from += fmt.Sprintf(" (%s is there, too, but the URL goes before it)", name)
			break
		}
	}
	return func() (config.Config, string, error) {
		cfg, err := config.FromEnv(func(name string) (string, bool) {
			if name == "MQTTDB_BROKER" {
				return url, true
			}
			return os.LookupEnv(name)
		})
		return cfg, from, err
	}, nil
}

// fromFile is the source of a configuration from a file: whoever also set the
// environment is told that it does not count.
func fromFile(name string) string {
	if os.Getenv("MQTTDB_BROKER") == "" {
		return name
	}
	return name + " (MQTTDB_BROKER is set, too, but a file goes before it)"
}

func loadFile(name string) (config.Config, error) {
	data, err := os.ReadFile(name)
	if err != nil {
		return config.Config{}, fmt.Errorf("read the configuration: %w", err)
	}
	cfg, err := yaml.Parse(name, data, os.LookupEnv)
	if err != nil {
		return cfg, err
	}
	dir, err := filepath.Abs(filepath.Dir(name))
	if err != nil {
		return cfg, err
	}
	cfg.ResolvePaths(func(path string) string {
		if filepath.IsAbs(path) {
			return path
		}
		return filepath.Join(dir, path)
	})
	return cfg, nil
}

// gateway returns the running gateway that the configuration describes.
func (o *options) gateway() (gateway, error) {
	cfg, _, err := o.load()
	if err != nil {
		return gateway{}, err
	}
	return gatewayOf(&cfg.HTTP)
}

// reachable turns an address that is listened at into one to connect to.
func reachable(listen string) string {
	host, port, err := net.SplitHostPort(listen)
	if err != nil {
		return listen
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	return net.JoinHostPort(host, port)
}
