package config

import (
	"net/url"
	"strings"
)

// DirectProxy is the Proxy of a connection that uses none, not even that of the
// environment.
const DirectProxy = "direct"

// checkProxy checks the URL of a proxy. What it says does not repeat it, for it
// may hold a password.
func (c *Connection) checkProxy(p *problems, path string) {
	if c.Proxy == "" || c.Proxy == DirectProxy {
		return
	}
	const form = "write it like http://proxy:3128 or http://user:password@proxy:3128; direct is for none"
	scheme, rest, _ := strings.Cut(c.Proxy, "://")
	u, err := url.Parse(c.Proxy)
	switch {
	case scheme != "http" && scheme != "https" && rest != "":
		p.add(path+".proxy", "begins with something else than http or https, and other proxies cannot be used", form)
	case err != nil || u.Host == "" || u.Hostname() == "" || strings.ContainsAny(u.Host, " \t\r\n\x00"):
		p.add(path+".proxy", "is not a URL that can be used", form)
	case strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.Fragment != "":
		p.add(path+".proxy", "has something behind host and port", form)
	}
}
