package httpapi

import (
	"errors"
	"fmt"
	"mime"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// sentByUs is a header that only a program sets, or a page of this server: one of
// another site would have to ask first, and is not answered.
const sentByUs = "X-Mqttdb"

// apiPolicy keeps a browser from making anything of an answer that is no page.
const apiPolicy = "default-src 'none'; frame-ancestors 'none'"

// guard lets only those requests pass that are meant for this server: a page of
// some other site can make a browser send requests here, under the server's own
// name if that site's name is made to point to this machine (DNS rebinding).
func (s *Server) guard(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		protect(w.Header())
		if code, hint, err := s.foreign(r); err != nil {
			s.refused(r, err)
			refuse(w, code, err, hint)
			return
		}
		if r.URL.Path != "/healthz" && !s.pace.Allow() {
			w.Header().Set("Retry-After", "1")
			refuse(w, http.StatusTooManyRequests, errors.New("there are too many requests"), "ask less often: GET /api/stream tells what changes")
			return
		}
		next.ServeHTTP(w, r)
	})
}

// protect sets the headers that every answer has.
func protect(h http.Header) {
	h.Set("Content-Security-Policy", apiPolicy)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("X-Frame-Options", "DENY")
	h.Set("Cache-Control", "no-store")
}

// foreign says why r is not meant for this server.
func (s *Server) foreign(r *http.Request) (code int, hint string, err error) {
	if !s.known(r.Host) {
		return http.StatusForbidden, "add it to http.allowed_hosts", fmt.Errorf("this server does not answer to the name %q", r.Host)
	}
	if origins := r.Header.Values("Origin"); len(origins) > 0 && !slices.Equal(origins, []string{s.origin(r)}) {
		return http.StatusForbidden, "", fmt.Errorf("requests from pages of %q are not allowed", origins)
	}
	site := r.Header.Get("Sec-Fetch-Site")
	if (site == "cross-site" || site == "same-site") && (modifies(r) || strings.HasPrefix(r.URL.Path, "/api/")) {
		return http.StatusForbidden, "", errors.New("requests from pages of other sites are not allowed")
	}
	return 0, "", nil
}

// origin is that of pages which this server serves to the sender of r.
func (s *Server) origin(r *http.Request) string {
	u := url.URL{Scheme: "http", Host: r.Host}
	if s.o.TLS != nil {
		u.Scheme = "https"
	}
	return u.String()
}

// modifies says whether r asks for a change.
func modifies(r *http.Request) bool {
	return r.Method != http.MethodGet && r.Method != http.MethodHead
}

// meant says whether a request that changes something was sent on purpose: a form or
// an image of another site can have none of these.
func meant(r *http.Request) bool {
	if r.Header.Get(sentByUs) != "" {
		return true
	}
	if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err == nil && kind == "application/json" {
		return true
	}
	site := r.Header.Get("Sec-Fetch-Site")
	return site == "same-origin" || site == "none"
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

// refused logs that a request was, as often as that can be read.
func (s *Server) refused(r *http.Request, why error) {
	if s.complaints.Allow() {
		s.o.Logger.Warn("a request was refused", "method", r.Method, "path", r.URL.Path, "reason", why, "from", r.RemoteAddr)
	}
}
