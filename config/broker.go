package config

import (
	"errors"
	"net/url"
	"strconv"
	"strings"
)

// ParseBroker reads the URL of a broker: mqtt, mqtts, ws or wss, a host, a
// port, which is filled in if it is missing (1883, 8883, 80, 443), and for
// WebSockets a path. Its errors say what is wrong without repeating the URL,
// which may hold a password.
func ParseBroker(s string) (*url.URL, error) {
	scheme, rest, ok := strings.Cut(s, "://")
	if !ok {
		return nil, errors.New("is not a URL; write it like mqtt://host:1883")
	}
	ports := map[string]string{"mqtt": "1883", "mqtts": "8883", "ws": "80", "wss": "443"}
	port, ok := ports[strings.ToLower(scheme)]
	if !ok {
		return nil, errors.New("begins with something else than mqtt, mqtts, ws or wss; write it like mqtt://host:1883")
	}
	authority, _, _ := strings.Cut(rest, "?")
	if strings.Contains(authority, "@") {
		return nil, errors.New("contains credentials; move them to username and password_file")
	}
	u, err := url.Parse(s)
	if err != nil || u.Hostname() == "" || strings.ContainsAny(u.Host, " \t\r\n\x00") {
		return nil, errors.New("is not a URL that can be used; write it like mqtt://host:1883")
	}
	if u.Port() == "" {
		u.Host = strings.TrimSuffix(u.Host, ":") + ":" + port
	} else if n, err := strconv.ParseUint(u.Port(), 10, 16); err != nil || n == 0 {
		return nil, errors.New("has a port that is not from 1 to 65535")
	}
	if u.Fragment != "" {
		return nil, errors.New("has a part behind #, which means nothing here")
	}
	if plain := u.Scheme == "mqtt" || u.Scheme == "mqtts"; plain && (strings.Trim(u.Path, "/") != "" || u.RawQuery != "") {
		return nil, errors.New("has a path, which only ws and wss have; remove what follows the host and port")
	}
	return u, nil
}

// Brokers are the URLs of the brokers, in the order in which they are tried.
func (c *Connection) Brokers() []string {
	return append([]string{c.Broker}, c.Failover...)
}

// Endpoint is where the connection goes first; see the function Endpoint.
func (c *Connection) Endpoint() string { return Endpoint(c.Broker) }

// Endpoint is where the URL of a broker leads, for people to read: without a
// query, which may hold a token, and never with credentials.
func Endpoint(broker string) string {
	u, err := ParseBroker(broker)
	if err != nil {
		return "(invalid)"
	}
	u.RawQuery = ""
	return u.String()
}
