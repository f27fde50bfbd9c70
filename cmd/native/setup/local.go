package setup

import (
	"net"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/mqttdb/mqttdb/config"
)

// general converts what stands before the first listener and the first bridge.
func (c *Conversion) general(s *section) {
	for _, d := range s.lines {
		switch {
		case slices.Contains(listenerKeys(), d.key):
			// with the listeners, or the users
		case d.key == "message_size_limit" && d.value != "0", d.key == "max_packet_size":
			c.Document.Set(d.value, "max_message_size")
		case d.key == "persistent_client_expiration":
			c.expiration(d)
		case strings.HasPrefix(d.key, "persistence"), strings.HasPrefix(d.key, "autosave"):
			c.note(d, "not needed: what is stored is on disk, see data_dir and sync")
		case strings.HasPrefix(d.key, "log_"), d.key == "connection_messages":
			c.note(d, "the log goes to the standard error, see mqttdb serve --log")
		case d.key == "user", d.key == "pid_file":
			c.note(d, "a matter of the service manager")
		default:
			c.note(d, "nothing here does that")
		}
	}
}

// listenerKeys are those that may stand before the first listener and are about
// listeners or users.
func listenerKeys() []string {
	return []string{"port", "bind_address", "protocol", "cafile", "certfile", "keyfile", "require_certificate",
		"allow_anonymous", "password_file", "acl_file", "per_listener_settings"}
}

// expiration converts 2h, 3d, 4w, 5m (months) and 6y.
func (c *Conversion) expiration(d directive) {
	hours := map[byte]int{'h': 1, 'd': 24, 'w': 7 * 24, 'm': 30 * 24, 'y': 365 * 24}
	last := len(d.value) - 1
	if last > 0 {
		if n, err := strconv.Atoi(d.value[:last]); err == nil && hours[d.value[last]] > 0 {
			c.Document.Set(strconv.Itoa(n*hours[d.value[last]])+"h", "session_expiry")
			return
		}
	}
	c.note(d, "not a time")
}

// listeners converts the addresses of the local broker: the first becomes that of
// mqtt, the others its listeners.
func (c *Conversion) listeners(m *mosquittoFile) {
	all := m.listeners
	if port, ok := m.general.get("port"); ok { // the old way
		address, _ := m.general.get("bind_address")
		old := section{start: directive{place: "port", key: "listener", value: port + " " + address}, lines: m.general.lines}
		all = append([]section{old}, all...)
	}
	for i := range all {
		s := &all[i]
		f := s.start.fields()
		if len(f) == 0 || f[0] == "0" {
			c.note(s.start, "listeners on Unix sockets are not there")
			continue
		}
		host := ""
		if len(f) > 1 {
			host = f[1]
		}
		path := []string{"mqtt"}
		set := func(value string, key ...string) { c.Document.Set(value, append(slices.Clone(path), key...)...) }
		key := "listen"
		if protocol, _ := s.get("protocol"); protocol == "websockets" {
			key = "websocket"
		}
		if c.Document.has("mqtt", "listen") || c.Document.has("mqtt", "websocket") {
			path = []string{"mqtt", "listeners", "-"}
			set(quote(net.JoinHostPort(host, f[0])), key)
			path[2] = "="
		} else {
			set(quote(net.JoinHostPort(host, f[0])), key)
		}
		c.listener(m, s, set)
	}
}

// listener converts the lines of a listener.
func (c *Conversion) listener(m *mosquittoFile, s *section, set func(value string, key ...string)) {
	if anonymous, _ := s.get("allow_anonymous"); anonymous == "true" {
		set("true", "allow_anonymous")
	} else if anonymous, _ := m.general.get("allow_anonymous"); anonymous == "true" {
		set("true", "allow_anonymous")
	} else if f := s.start.fields(); len(f) > 1 && config.Loopback(net.JoinHostPort(f[1], f[0])) {
		c.note(s.start, "programs on this machine need no username here, and may do everything at this address")
	}
	required, _ := s.get("require_certificate")
	for _, d := range s.lines {
		switch d.key {
		case "port", "bind_address", "protocol", "allow_anonymous", "require_certificate", "password_file", "acl_file", "per_listener_settings":
			if d.key == "protocol" && d.value != "websockets" && d.value != "mqtt" {
				c.note(d, "the protocols are mqtt and websockets")
			}
		case "certfile":
			set(quote(d.value), "tls", "cert_file")
		case "keyfile":
			set(quote(d.value), "tls", "key_file")
		case "cafile":
			if required == "true" {
				set(quote(d.value), "tls", "client_ca_file")
			} else {
				c.note(d, "clients need no certificate: require_certificate is not true")
			}
		default:
			if s.start.place != "port" { // else general has said it
				c.note(d, "nothing here does that")
			}
		}
	}
}

// users converts the files of users and their rights. Passwords are stored in
// another way: each user needs a new hash.
func (c *Conversion) users(m *mosquittoFile) {
	for _, s := range append([]section{m.general}, m.listeners...) {
		passwords, hasPasswords := s.get("password_file")
		acl, hasACL := s.get("acl_file")
		var names []string
		if hasPasswords {
			text, err := os.ReadFile(passwords)
			if err != nil {
				c.Notes = append(c.Notes, "password_file: "+err.Error())
			}
			for _, line := range strings.Split(string(text), "\n") {
				if name, _, ok := strings.Cut(strings.TrimSpace(line), ":"); ok && name != "" && name[0] != '#' {
					names = append(names, name)
				}
			}
		}
		for _, name := range names {
			if setting := "mqtt.users." + name + ".password_hash"; !c.noted[setting] { // listeners may share the file
				c.noted[setting] = true
				c.Notes = append(c.Notes, "mqtt.users."+name+": the password is stored in another way here: mqttdb passwd "+name+" makes the entry")
			}
			if !hasACL {
				c.Document.Set(`["#"]`, "mqtt", "users", name, "publish")
				c.Document.Set(`["#"]`, "mqtt", "users", name, "subscribe")
			}
		}
		if hasACL {
			c.rights(acl, names)
		}
	}
}

// rights converts an acl_file.
func (c *Conversion) rights(file string, names []string) {
	text, err := os.ReadFile(file)
	if err != nil {
		c.Notes = append(c.Notes, "acl_file: "+err.Error())
		return
	}
	publish, subscribe := map[string][]string{}, map[string][]string{}
	grant := func(user, access, filter string) {
		if access != "read" {
			publish[user] = append(publish[user], filter)
		}
		if access != "write" {
			subscribe[user] = append(subscribe[user], filter)
		}
	}
	user := ""
	for i, line := range strings.Split(string(text), "\n") {
		line = strings.TrimSpace(line)
		key, rest, _ := strings.Cut(line, " ")
		if line == "" || line[0] == '#' {
			continue
		}
		d := directive{file + ":" + strconv.Itoa(i+1), key, strings.TrimSpace(rest)}
		access, filter, ok := strings.Cut(d.value, " ")
		if !ok || !slices.Contains([]string{"read", "write", "readwrite", "deny"}, access) {
			access, filter = "readwrite", d.value
		}
		filter = strings.TrimSpace(filter)
		switch {
		case key == "user":
			user = d.value
		case access == "deny":
			c.note(d, "there are only rights, no prohibitions")
		case key == "topic" && user != "":
			grant(user, access, filter)
		case key == "topic":
			c.note(d, "those who do not log in have no rights of their own")
		case key == "pattern" && !strings.Contains(filter, "%c"):
			for _, name := range names {
				grant(name, access, strings.ReplaceAll(filter, "%u", name))
			}
		default:
			c.note(d, "rights do not depend on client ids")
		}
	}
	for _, name := range names {
		c.Document.Set(quoteAll(publish[name]), "mqtt", "users", name, "publish")
		c.Document.Set(quoteAll(subscribe[name]), "mqtt", "users", name, "subscribe")
	}
}
