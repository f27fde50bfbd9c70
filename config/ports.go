package config

import (
	"fmt"
	"net/netip"
	"strings"
)

// socket is an address of the gateway itself.
type socket struct{ path, address string }

// sockets lists the addresses that the gateway listens on.
func (c *Config) sockets() []socket {
	all := []socket{{"mqtt.listen", c.MQTT.Listen}, {"mqtt.websocket", c.MQTT.WebSocket}}
	for i, l := range c.MQTT.Listeners {
		path := fmt.Sprintf("mqtt.listeners[%d]", i)
		all = append(all, socket{path + ".listen", l.Listen}, socket{path + ".websocket", l.WebSocket})
	}
	return append(all, socket{"http.listen", c.HTTP.Listen})
}

// checkSockets complains about addresses that cannot be listened on together.
func (c *Config) checkSockets(p *problems) {
	all := c.sockets()
	for i, s := range all {
		for _, before := range all[:i] {
			if collide(s.address, before.address) {
				p.add(s.path, "is the address of "+before.path+" too", "give one of them another port")
				break
			}
		}
	}
}

// collide says whether two addresses have the same port on the same address of
// the machine. What is no address collides with nothing.
func collide(a, b string) bool {
	hostA, portA, errA := splitAddress(a)
	hostB, portB, errB := splitAddress(b)
	if errA != nil || errB != nil || portA != portB || portA == 0 {
		return false
	}
	ipA, everyA := listenIP(hostA)
	ipB, everyB := listenIP(hostB)
	return everyA || everyB || ipA == ipB
}

// listenIP is the address that a host stands for, as text, and whether that is
// every one of the machine.
func listenIP(host string) (ip string, every bool) {
	if strings.EqualFold(host, "localhost") {
		host = "127.0.0.1"
	}
	a, err := netip.ParseAddr(host)
	if err != nil {
		return strings.ToLower(host), host == ""
	}
	return a.Unmap().String(), a.IsUnspecified()
}
