package httpapi

import (
	"fmt"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// guard lets only those requests pass that are meant for this server: a page of
// some other site can make a browser send requests here, under the server's own
// name if that site's name is made to point to this machine (DNS rebinding).
func (s *Server) guard(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !s.known(r.Host) {
			refuse(w, http.StatusForbidden, fmt.Errorf("this server does not answer to the name %q", r.Host), "add it to http.allowed_hosts")
			return
		}
		if origin := r.Header.Get("Origin"); origin != "" {
			if u, err := url.Parse(origin); err != nil || u.Host != r.Host {
				refuse(w, http.StatusForbidden, fmt.Errorf("requests from pages of %q are not allowed", origin), "")
				return
			}
		}
		if site := r.Header.Get("Sec-Fetch-Site"); r.Method != http.MethodGet && (site == "cross-site" || site == "same-site") {
			refuse(w, http.StatusForbidden, fmt.Errorf("requests from pages of other sites are not allowed"), "")
			return
		}
		next.ServeHTTP(w, r)
	})
}

// known says whether host, with or without a port, is a loopback name or one
// that is allowed.
func (s *Server) known(host string) bool {
	name := host
	if h, _, err := net.SplitHostPort(host); err == nil {
		name = h
	}
	name = strings.Trim(name, "[]")
	if ip := net.ParseIP(name); ip != nil && ip.IsLoopback() {
		return true
	}
	return strings.EqualFold(name, "localhost") || slices.ContainsFunc(s.o.AllowedHosts, func(a string) bool {
		return strings.EqualFold(a, name) || strings.EqualFold(a, host)
	})
}
