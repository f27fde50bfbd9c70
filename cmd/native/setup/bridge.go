package setup

import (
	"cmp"
	"fmt"
	"net"
	"strconv"
	"strings"

	"github.com/mqttdb/mqttdb/config"
)

// bridge converts a bridge of mosquitto to a connection.
func (c *Conversion) bridge(s *section) {
	b := bridge{c: c, s: s, name: c.connectionName(s.start)}
	if !b.addresses() {
		c.note(s.start, "the bridge has no address")
		return
	}
	for _, d := range s.lines {
		b.take(d)
	}
	b.routes()
	if private, _ := s.get("try_private"); private != "false" { // mosquitto's default is true
		b.set("true", "bridge")
	}
	b.notifications()
}

type bridge struct {
	c    *Conversion
	s    *section
	name string
}

func (b *bridge) set(value string, path ...string) {
	b.c.Document.Set(value, append([]string{"connections", b.name}, path...)...)
}

func (b *bridge) remark(text string, path ...string) {
	b.c.Document.Remark(text, append([]string{"connections", b.name}, path...)...)
}

// connectionName makes a name of that of a bridge.
func (c *Conversion) connectionName(d directive) string {
	var b strings.Builder
	for _, r := range strings.ToLower(d.value) {
		if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' || b.Len() > 0 && (r == '-' || r == '_') {
			b.WriteRune(r)
		} else if b.Len() > 0 {
			b.WriteByte('-')
		}
	}
	name := b.String()[:min(b.Len(), 60)]
	if name == "" {
		name = "bridge"
	}
	base := name
	for n := 2; c.Document.has("connections", name); n++ {
		name = fmt.Sprintf("%s-%d", base, n)
	}
	if name != d.value {
		c.note(d, "the connection is called "+name)
	}
	return name
}

// has says whether the key at this path is there.
func (d *Document) has(path ...string) bool {
	n := d.root
next:
	for _, key := range path {
		for _, c := range n.children {
			if c.key == key {
				n = c
				continue next
			}
		}
		return false
	}
	return true
}

// addresses sets the broker, or a list of them.
func (b *bridge) addresses() bool {
	value, ok := b.s.get("address")
	if !ok {
		value, ok = b.s.get("addresses")
	}
	scheme := "mqtt://"
	for _, key := range []string{"bridge_cafile", "bridge_capath", "bridge_certfile", "bridge_psk", "bridge_alpn", "bridge_tls_use_os_certs"} {
		if _, tls := b.s.get(key); tls {
			scheme = "mqtts://"
		}
	}
	var urls []string
	for _, address := range strings.Fields(value) {
		host, port, err := net.SplitHostPort(address)
		if err != nil {
			host, port = strings.Trim(address, "[]"), "1883" // also with TLS
		}
		urls = append(urls, scheme+net.JoinHostPort(host, port))
	}
	switch {
	case !ok || len(urls) == 0:
		return false
	case len(urls) == 1:
		b.set(quote(urls[0]), "broker")
	case missing("connections.*.broker[1]"):
		b.set(quote(urls[0]), "broker")
		b.remark("mosquitto knew further addresses, which this version cannot use: "+strings.Join(urls[1:], ", "), "broker")
		b.c.Notes = append(b.c.Notes, b.name+": further addresses are not used by this version: "+strings.Join(urls[1:], ", "))
	default:
		b.set(quoteAll(urls), "broker")
	}
	return true
}

// take converts a line of a bridge that needs no other one.
func (b *bridge) take(d directive) {
	switch d.key {
	case "address", "addresses", "topic", "try_private", "notifications", "notification_topic", "notifications_local_only":
		// with others, elsewhere
	case "remote_username", "username":
		b.set(quote(d.value), "username")
	case "remote_password", "password":
		file := b.name + ".pw"
		b.c.Secrets[file] = d.value
		b.set(quote(file), "password_file")
	case "remote_clientid", "clientid":
		b.set(quote(d.value), "client_id")
	case "cleansession":
		b.set(strconv.FormatBool(d.value == "true"), "clean_session")
	case "keepalive_interval":
		b.set(d.value+"s", "keep_alive")
	case "bridge_cafile":
		b.set(quote(d.value), "tls", "ca_file")
	case "bridge_certfile":
		b.set(quote(d.value), "tls", "cert_file")
	case "bridge_keyfile":
		b.set(quote(d.value), "tls", "key_file")
	case "bridge_alpn":
		b.set(quoteAll([]string{d.value}), "tls", "alpn")
	case "bridge_insecure":
		if d.value == "true" {
			b.set("true", "tls", "insecure_skip_verify")
			const why = "mosquitto left out the check of the name only; this takes any certificate. Better: tls.server_name with the name that the certificate has"
			b.remark(why, "tls", "insecure_skip_verify")
			b.c.note(d, why)
		}
	case "bridge_tls_version":
		if d.value != "tlsv1.2" {
			b.c.note(d, "TLS 1.2 and newer are used, whichever both sides know")
		}
	case "bridge_outgoing_retain":
		if d.value == "false" {
			b.set("clear", "retain")
		}
	case "bridge_protocol_version":
		b.protocol(d)
	case "round_robin":
		if d.value == "true" {
			b.c.note(d, "the brokers are tried in their order, and the first is preferred")
		}
	case "start_type":
		if d.value != "automatic" {
			b.c.note(d, "the link is always kept up")
		}
	case "local_clientid", "local_username", "local_password", "local_cleansession":
		b.c.note(d, "not needed: the connection is no client of the local broker")
	case "restart_timeout", "idle_timeout", "threshold":
		b.c.note(d, "the wait before dialing again is not configured")
	default:
		b.c.note(d, "nothing here does that")
	}
}

func (b *bridge) protocol(d directive) {
	version, ok := map[string]string{"mqttv311": "3.1.1", "mqttv31": "3.1", "mqttv50": "5"}[d.value]
	switch {
	case !ok:
		b.c.note(d, "an unknown version")
	case missing("connections.*.protocol=" + version):
		b.c.note(d, "this version speaks 3.1.1 to the broker")
	default:
		b.set(version, "protocol")
	}
}

// notifications makes will, birth and close of mosquitto's message about the
// state of the bridge, which is 1 or 0 and retained.
func (b *bridge) notifications() {
	on, _ := b.s.get("notifications")
	topic, _ := b.s.get("notification_topic")
	local, _ := b.s.get("notifications_local_only")
	id, _ := b.s.get("remote_clientid")
	if other, ok := b.s.get("clientid"); ok {
		id = cmp.Or(id, other)
	}
	if topic == "" && id != "" {
		topic = "$SYS/broker/connection/" + id + "/state"
	}
	if on == "false" {
		return
	}
	text := "notifications: mqttdb status shows the state of the link; the local broker does not, where mosquitto had it at " + cmp.Or(topic, "$SYS/broker/connection/ID/state")
	if local != "true" && topic == "" {
		text += "; set will, birth and close for the remote one to have it, where mosquitto made the ID from the name of the host"
	}
	b.c.note(b.s.start, text)
	if local == "true" || topic == "" {
		return
	}
	for _, m := range []struct{ key, payload string }{{"will", "0"}, {"birth", "1"}, {"close", "0"}} {
		b.set(quote(topic), m.key, "topic")
		b.set(quote(m.payload), m.key, "payload")
		b.set("1", m.key, "qos")
		b.set("true", m.key, "retain")
	}
}

// routes converts the topics of a bridge.
func (b *bridge) routes() {
	forwards, subscribes := 0, 0
	for _, d := range b.s.lines {
		if d.key != "topic" {
			continue
		}
		f := append(d.fields(), "out", "0", "", "")
		given := len(f) - 4
		if given == 0 || given > 5 {
			b.c.note(d, "not a topic line")
			continue
		}
		topic, direction, qos, local, remote := f[0], "out", 0, "", ""
		if given > 1 {
			direction = f[1]
		}
		if given > 2 {
			qos, _ = strconv.Atoi(f[2])
		}
		if given > 3 {
			local = f[3]
		}
		if given > 4 {
			remote = f[4]
		}
		if direction != "out" && direction != "in" && direction != "both" {
			b.c.note(d, "the direction is out, in or both")
			continue
		}
		if direction != "in" {
			forwards++
			b.route("forward", topic, local, remote, b.forwardQoS(d, qos))
		}
		if direction != "out" {
			subscribes++
			b.route("subscribe", topic, local, remote, b.subscribeQoS(d, qos))
		}
	}
	if forwards == 0 {
		b.set("[]", "forward") // else everything would go there
	}
}

func (b *bridge) route(list, topic, local, remote, qos string) {
	b.set(quote(topic), list, "-", "topic")
	b.set(qos, list, "=", "qos")
	if local != "" {
		b.set(quote(local), list, "=", "local_prefix")
	}
	if remote != "" {
		b.set(quote(remote), list, "=", "remote_prefix")
	}
}

// forwardQoS is how messages leave: mosquitto's is the highest that they may
// have.
func (b *bridge) forwardQoS(d directive, qos int) string {
	if qos == 0 {
		return "0"
	}
	if qos == 1 {
		b.c.note(d, "messages keep their QoS, also if it is 2: max_qos: 1 changes that for the connection")
	}
	return config.QoSKeep.String()
}

func (b *bridge) subscribeQoS(d directive, qos int) string {
	if qos == 2 && missing("connections.*.subscribe[].qos=2") {
		b.c.note(d, "this version subscribes with QoS 1 at most")
		qos = 1
	}
	return strconv.Itoa(qos)
}
