package config

import (
	"errors"
	"net/netip"
	"strconv"
	"strings"
)

// Loopback says whether address (host:port) can be reached from this machine
// only.
func Loopback(address string) bool {
	host, _, err := splitAddress(address)
	if err != nil {
		return false
	}
	if strings.EqualFold(host, "localhost") {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.Unmap().IsLoopback()
}

// splitAddress takes host:port apart. An empty host stands for all addresses.
func splitAddress(address string) (host string, port uint16, err error) {
	colon := strings.LastIndexByte(address, ':')
	if colon < 0 {
		return "", 0, errors.New("the port is missing: write it like 127.0.0.1:1883")
	}
	n, err := strconv.ParseUint(address[colon+1:], 10, 16)
	if err != nil {
		return "", 0, errors.New("the port must be a number up to 65535")
	}
	host = address[:colon]
	if inner, ok := strings.CutPrefix(host, "["); ok {
		inner, ok = strings.CutSuffix(inner, "]")
		if _, err := netip.ParseAddr(inner); !ok || err != nil {
			return "", 0, errors.New("not an IPv6 address: write it like [::1]:1883")
		}
		return inner, uint16(n), nil
	}
	if strings.ContainsAny(host, ":[]/@ \t\r\n\x00") {
		return "", 0, errors.New("not host:port: write it like 127.0.0.1:1883 or [::1]:1883")
	}
	return host, uint16(n), nil
}

// listen checks an address to listen on; port 0 takes any free one.
func (p *problems) listen(path, address string) (ok bool) {
	_, _, err := splitAddress(address)
	if err != nil {
		p.add(path, err.Error(), "")
	}
	return err == nil
}
