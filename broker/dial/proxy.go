//go:build !js

package dial

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
)

// ParseProxy reads the address of an HTTP proxy: http or https, a host, a port
// (80 and 443 if there is none), and perhaps a user and a password. Its errors
// do not quote it.
func ParseProxy(raw string) (*url.URL, error) {
	const form = "write it as http://host:3128, or http://user:password@host:3128"
	u, err := url.Parse(raw)
	switch {
	case err != nil || u.Hostname() == "":
		return nil, hinted(form, "the address of the proxy is not a URL")
	case u.Scheme != "http" && u.Scheme != "https":
		return nil, hinted(form, "the address of the proxy has the scheme %q; HTTP proxies are what there is", u.Scheme)
	}
	return u, nil
}

// EnvironmentProxy is the proxy that HTTPS_PROXY, HTTP_PROXY and NO_PROXY name
// for a broker, nil if there is none. They count for ws and wss, which are HTTP
// and what such a proxy lets through; MQTT itself goes by a proxy only if
// somebody says so (Options.Proxy). The environment is read once.
func EnvironmentProxy(broker string) (*url.URL, error) {
	t, err := parse(broker)
	if err != nil || !t.websocket {
		return nil, err
	}
	scheme := "http"
	if t.tls {
		scheme = "https"
	}
	proxy, err := http.ProxyFromEnvironment(&http.Request{URL: &url.URL{Scheme: scheme, Host: t.addr}})
	if err != nil || proxy == nil {
		return nil, err
	}
	return ParseProxy(proxy.String())
}

// raw makes the connection that everything else lies upon: to the broker itself,
// or through the proxy.
func (o Options) raw(ctx context.Context, t target) (net.Conn, error) {
	if o.Proxy == nil {
		return o.DialContext(ctx, "tcp", t.addr)
	}
	conn, err := o.through(ctx, t)
	if err != nil {
		return nil, &proxyError{proxyAddr(o.Proxy), err}
	}
	return conn, nil
}

func proxyAddr(proxy *url.URL) string {
	port := proxy.Port()
	switch {
	case port != "":
	case proxy.Scheme == "https":
		port = "443"
	default:
		port = "80"
	}
	return net.JoinHostPort(proxy.Hostname(), port)
}

// through asks the proxy for a tunnel to the broker (RFC 9110, 9.3.6).
func (o Options) through(ctx context.Context, t target) (_ net.Conn, err error) {
	conn, err := o.DialContext(ctx, "tcp", proxyAddr(o.Proxy))
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			conn.Close()
		}
	}()
	if o.Proxy.Scheme == "https" {
		secure := tls.Client(conn, &tls.Config{ServerName: o.Proxy.Hostname(), MinVersion: tls.VersionTLS12, RootCAs: o.proxyRoots})
		if err := secure.HandshakeContext(ctx); err != nil {
			return nil, &handshakeError{err}
		}
		conn = secure
	}
	// A closed connection is what ends a conversation that nobody waits for.
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	err = tunnel(conn, t.addr, o.Proxy.User)
	if !stop() {
		return nil, context.Cause(ctx)
	}
	return conn, err
}

func tunnel(conn net.Conn, addr string, user *url.Userinfo) error {
	ask := &http.Request{
		Method: http.MethodConnect, URL: &url.URL{Opaque: addr}, Host: addr,
		Header: http.Header{"User-Agent": {"mqttdb"}},
	}
	if user != nil {
		password, _ := user.Password()
		ask.Header.Set("Proxy-Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte(user.Username()+":"+password)))
	}
	if err := ask.Write(conn); err != nil {
		return err
	}
	in := bufio.NewReader(conn)
	answer, err := http.ReadResponse(in, ask)
	switch {
	case err != nil:
		return err
	case answer.StatusCode/100 != 2:
		return &tunnelError{answer.StatusCode, answer.Status}
	case in.Buffered() > 0: // in MQTT, TLS and HTTP the client speaks first
		return errors.New("more came from the proxy than its answer")
	}
	return nil
}

// tunnelError is a proxy's no.
type tunnelError struct {
	code   int
	status string
}

func (e *tunnelError) Error() string { return "the proxy answered " + e.status }

// proxyError is what went wrong between us and the broker's address.
type proxyError struct {
	addr string
	err  error
}

func (e *proxyError) Error() string { return fmt.Sprintf("proxy %s: %v", e.addr, e.err) }
func (e *proxyError) Unwrap() error { return e.err }

// proxyReason puts err, of the way to the proxy or of its answer, into words.
func proxyReason(t target, err *proxyError) (what, advice string) {
	var no *tunnelError
	if !errors.As(err.err, &no) {
		proxy := target{url: &url.URL{Scheme: "http"}, addr: err.addr}
		if what, _ = reason(proxy, 0, err.err); what == "" {
			what = err.err.Error()
		}
		return "the proxy " + err.addr + " cannot be used: " + what, "check proxy, and that the proxy runs"
	}
	what = "the proxy " + err.addr + " answered " + no.status
	switch {
	case no.code == http.StatusProxyAuthRequired, no.code == http.StatusUnauthorized: // tinyproxy's answer to a wrong password
		return what, "check user and password in proxy"
	case no.code >= 500:
		return what, "the proxy does not reach the broker: check the broker's address, and that it runs"
	}
	return what, "the proxy does not allow that: ask who runs it to allow CONNECT to " + t.addr
}
