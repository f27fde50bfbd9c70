package config

import (
	"net/netip"
	"strconv"
	"strings"
)

// CheckCircles says which connections lead back to the local listener: what is
// forwarded there would come in again and be forwarded again, for ever. It is
// for programs that listen at MQTT.Listen, and beside SetDefaultsAndValidate,
// since one that embeds connections does not. The error joins an *Error for
// each.
//
// It knows the addresses of this machine only as far as they are written down:
// a circle by way of another name or of another broker is not found.
func (c *Config) CheckCircles() error {
	var p problems
	for i := range c.Connections {
		for j, broker := range c.Connections[i].Brokers() {
			if u, err := ParseBroker(broker); err == nil && meets(c.MQTT.Listen, u.Host) {
				p.add(brokerPath(connectionPath(c.Connections, i), j),
					"is mqtt.listen of this gateway itself: what it forwards would come in again, for ever",
					"give the address of another broker, or set mqtt.listen to another port")
			}
		}
	}
	return p.join()
}

// meets says whether whoever connects to the address reaches what listens.
func meets(listen, address string) bool {
	host, port, err := splitAddress(listen)
	if err != nil || port == 0 {
		return false
	}
	colon := strings.LastIndexByte(address, ':')
	if colon < 0 || address[colon+1:] != strconv.Itoa(int(port)) {
		return false
	}
	other := strings.Trim(address[:colon], "[]")
	if strings.EqualFold(host, other) {
		return true
	}
	if !Loopback(address) {
		return false
	}
	// Of the addresses of loopback those of IPv4 are many: 127.0.0.2 is another.
	here, there := loopbackAddr(host), loopbackAddr(other)
	return host == "" || here.IsUnspecified() || here == there
}

// loopbackAddr is the address of host; that of "localhost" is what clients try.
func loopbackAddr(host string) netip.Addr {
	if strings.EqualFold(host, "localhost") {
		return netip.AddrFrom4([4]byte{127, 0, 0, 1})
	}
	ip, _ := netip.ParseAddr(host)
	return ip.Unmap()
}
