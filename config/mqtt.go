package config

import (
	"fmt"
	"net/url"
	"regexp"
	"slices"

	"github.com/mqttdb/mqttdb/types"
)

// MQTT configures the local broker of the gateway.
type MQTT struct {
	Listener `yaml:",inline"`

	// Listeners are further ones.
	Listeners []Listener `yaml:"listeners"`

	// Users may log in at all listeners; a mapping from name to user in the
	// file.
	Users []User `yaml:"users"`

	// ReceiveMax is how many messages of one client may be unanswered. Default
	// 100.
	ReceiveMax int `yaml:"receive_max,positive"`
}

// Listener is one address at which local clients are served.
type Listener struct {
	// Listen is host:port. Default 127.0.0.1:1883. Anything but loopback needs
	// users, or AllowAnonymous.
	Listen string `yaml:"listen"`

	// WebSocket is a second address, for MQTT over WebSocket. Default none.
	WebSocket string `yaml:"websocket"`

	// AllowAnonymous lets everybody in who reaches an address that is not
	// loopback.
	AllowAnonymous bool `yaml:"allow_anonymous"`

	// AllowedOrigins are the foreign origins whose pages may connect by
	// WebSocket, as in "https://panel.example.com".
	AllowedOrigins []string `yaml:"allowed_origins"`

	TLS ServerTLS `yaml:"tls"`
}

// ServerTLS are the files that make an address one for TLS.
type ServerTLS struct {
	CertFile     string `yaml:"cert_file,path"`
	KeyFile      string `yaml:"key_file,path"`
	ClientCAFile string `yaml:"client_ca_file,path"` // clients must have a certificate of this authority
}

// User is somebody who may log in at the local broker.
type User struct {
	Name         string   `yaml:",name"`
	PasswordHash Secret   `yaml:"password_hash"` // as `mqttdb passwd` prints it
	Publish      []string `yaml:"publish"`       // topic filters; nothing when empty
	Subscribe    []string `yaml:"subscribe"`     // topic filters; nothing when empty
}

// Defaults of the local broker.
const (
	DefaultListen     = "127.0.0.1:1883"
	DefaultReceiveMax = 100
)

func (m *MQTT) setDefaults() {
	defaultTo(&m.Listen, DefaultListen)
	defaultTo(&m.ReceiveMax, DefaultReceiveMax)
	m.Listeners = slices.Clone(m.Listeners)
}

func (m *MQTT) check(p *problems, path string) {
	m.Listener.check(p, path, len(m.Users) > 0)
	for i := range m.Listeners {
		l, at := &m.Listeners[i], fmt.Sprintf("%s.listeners[%d]", path, i)
		if l.Listen == "" && l.WebSocket == "" {
			p.add(at, "has no address", "add listen or websocket")
			continue
		}
		l.check(p, at, len(m.Users) > 0)
	}
	for i := range m.Users {
		m.Users[i].check(p, fmt.Sprintf("%s.users.%s", path, m.Users[i].Name))
	}
	used := map[string]bool{}
	for i := range m.Users {
		name := m.Users[i].Name
		if used[name] {
			p.add(fmt.Sprintf("%s.users.%s", path, name), "another user has this name", "")
		}
		used[name] = true
	}
	p.number(path+".receive_max", m.ReceiveMax, 1, 65535)
}

func (l *Listener) check(p *problems, path string, users bool) {
	for _, a := range []struct{ key, address string }{{".listen", l.Listen}, {".websocket", l.WebSocket}} {
		if a.address != "" && p.listen(path+a.key, a.address) && !Loopback(a.address) && !users && !l.AllowAnonymous {
			p.add(path+a.key, "is not a loopback address, and anybody could log in",
				"listen on 127.0.0.1, or say "+path+".allow_anonymous: true")
		}
	}
	for i, o := range l.AllowedOrigins {
		if u, err := url.Parse(o); err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || o != u.Scheme+"://"+u.Host {
			p.add(fmt.Sprintf("%s.allowed_origins[%d]", path, i), "is not an origin", "write it as the browser does: https://panel.example.com, with the port if it has one")
		}
	}
	l.TLS.check(p, path+".tls")
}

func (t *ServerTLS) check(p *problems, path string) {
	switch {
	case t.CertFile != "" && t.KeyFile == "":
		p.add(path+".key_file", "is missing", "cert_file needs the key to it")
	case t.CertFile == "" && (t.KeyFile != "" || t.ClientCAFile != ""):
		p.add(path+".cert_file", "is missing", "TLS needs cert_file and key_file")
	}
}

func (u *User) check(p *problems, path string) {
	p.text(path, u.Name)
	switch {
	case u.Name == "":
		p.add(path, "has no name", "")
	case len(u.Name) > 1024:
		p.add(path, "has a name of more than 1024 bytes", "")
	}
	switch hash := u.PasswordHash.Reveal(); {
	case hash == "":
		p.add(path+".password_hash", "is missing", "mqttdb passwd prints the entry")
	case !passwordHash().MatchString(hash):
		p.add(path+".password_hash", "is not what mqttdb passwd prints", "a password does not stand here, but its hash")
	}
	checkFilters(p, path+".publish", u.Publish)
	checkFilters(p, path+".subscribe", u.Subscribe)
}

// passwordHash matches a bcrypt hash whose cost is not so high that a login takes
// seconds.
func passwordHash() *regexp.Regexp {
	return regexp.MustCompile(`^\$2[aby]\$(0[4-9]|1[0-4])\$[./A-Za-z0-9]{53}$`)
}

func checkFilters(p *problems, path string, filters []string) {
	for i, f := range filters {
		if err := types.CheckFilter(f); err != nil {
			p.add(fmt.Sprintf("%s[%d]", path, i), err.Error(), "")
		}
	}
}
