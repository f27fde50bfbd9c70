package config

import (
	"fmt"
	"strings"
)

// HTTP configures the HTTP API and the dashboard.
type HTTP struct {
	// Listen is host:port. Default 127.0.0.1:8383. Anything but loopback needs
	// TokenFile.
	Listen string `yaml:"listen"`

	// TokenFile holds the token that requests have to carry, at least 16 characters.
	// It is read at the start.
	TokenFile string `yaml:"token_file,path"`

	// AllowedHosts are the names, besides those of loopback, by which requests
	// may call the server (their Host header).
	AllowedHosts []string `yaml:"allowed_hosts"`

	TLS ServerTLS `yaml:"tls"`
}

// DefaultHTTPListen is the default of HTTP.Listen.
const DefaultHTTPListen = "127.0.0.1:8383"

func (h *HTTP) setDefaults() { defaultTo(&h.Listen, DefaultHTTPListen) }

func (h *HTTP) check(p *problems, path string) {
	if p.listen(path+".listen", h.Listen) && !Loopback(h.Listen) && h.TokenFile == "" {
		p.add(path+".listen", "is not a loopback address, and anybody could use it", "listen on 127.0.0.1, or set token_file")
	}
	for i, host := range h.AllowedHosts {
		if host == "" || strings.ContainsAny(host, "/@ *?#") {
			p.add(fmt.Sprintf("%s.allowed_hosts[%d]", path, i), "is not the name of a host", "write it like gw.example.com, or gw.example.com:8383")
		}
	}
	h.TLS.check(p, path+".tls")
}
