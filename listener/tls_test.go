package listener

import (
	"bufio"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// authority signs certificates for a test.
type authority struct {
	t    testing.TB
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pem  []byte
	last int64
}

func newAuthority(t testing.TB, name string) *authority {
	a := &authority{t: t}
	a.cert, a.key, a.pem = a.make(name, nil)
	return a
}

// make makes a certificate that a has signed; itself if it is not made yet.
func (a *authority) make(name string, addresses []net.IP) (*x509.Certificate, *ecdsa.PrivateKey, []byte) {
	a.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.t.Fatal(err)
	}
	a.last++
	template := &x509.Certificate{
		SerialNumber: big.NewInt(a.last), Subject: pkix.Name{CommonName: name}, IPAddresses: addresses,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), BasicConstraintsValid: true,
	}
	parent, signer := a.cert, a.key
	if parent == nil {
		template.IsCA, parent, signer = true, template, key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), signer)
	if err != nil {
		a.t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		a.t.Fatal(err)
	}
	return cert, key, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}

// write writes a certificate for 127.0.0.1 and its key as <dir>/<name>.pem and
// .key.
func (a *authority) write(dir, name string) {
	a.t.Helper()
	_, key, text := a.make(name, []net.IP{net.IPv4(127, 0, 0, 1)})
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		a.t.Fatal(err)
	}
	put(a.t, filepath.Join(dir, name+".key"), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
	put(a.t, filepath.Join(dir, name+".pem"), text)
}

// put replaces a file, and gives it a time that it had not before.
func put(t testing.TB, name string, text []byte) {
	t.Helper()
	before, _ := os.Stat(name)
	if err := os.WriteFile(name, text, 0o600); err != nil {
		t.Fatal(err)
	}
	if before != nil {
		later := before.ModTime().Add(time.Second)
		if err := os.Chtimes(name, later, later); err != nil {
			t.Fatal(err)
		}
	}
}

// trust is the configuration of a client that trusts a, and has the certificate
// of that name, if any.
func (a *authority) trust(dir, name string) *tls.Config {
	a.t.Helper()
	c := &tls.Config{RootCAs: x509.NewCertPool()}
	c.RootCAs.AddCert(a.cert)
	if name != "" {
		pair, err := tls.LoadX509KeyPair(filepath.Join(dir, name+".pem"), filepath.Join(dir, name+".key"))
		if err != nil {
			a.t.Fatal(err)
		}
		c.Certificates = []tls.Certificate{pair}
	}
	return c
}

// dialTLS connects and says CONNECT; the error is that of the connection.
func dialTLS(t testing.TB, s *Server, c *tls.Config) (*rawClient, *tls.Conn, error) {
	t.Helper()
	conn, err := tls.Dial("tcp", s.Addr().String(), c)
	if err != nil {
		return nil, nil, err
	}
	t.Cleanup(func() { conn.Close() })
	r := &rawClient{t: t, Conn: conn, r: bufio.NewReader(conn), version: mqtt311}
	conn.Write(connectPacket(mqtt311, "c", "", 60))
	// A server that refuses a client of TLS 1.3 says so behind the handshake.
	if _, _, err := r.tryRead(); err != nil {
		return nil, nil, err
	}
	return r, conn, nil
}

func TestTLS(t *testing.T) {
	dir := t.TempDir()
	ours, clients := newAuthority(t, "ours"), newAuthority(t, "clients")
	ours.write(dir, "server")
	clients.write(dir, "client")
	ours.write(dir, "wrong")
	put(t, filepath.Join(dir, "clients.pem"), clients.pem)
	files := TLSFiles{Cert: filepath.Join(dir, "server.pem"), Key: filepath.Join(dir, "server.key")}
	plain, log := start(t, Options{Sink: &testSink{}, Endpoints: []Endpoint{{Addr: "127.0.0.1:0", TLS: &files}}})
	files.ClientCA = filepath.Join(dir, "clients.pem")
	mutual, _ := start(t, Options{Sink: &testSink{}, Endpoints: []Endpoint{{Addr: "127.0.0.1:0", TLS: &files}}})

	t.Run("server", func(t *testing.T) {
		c, _, err := dialTLS(t, plain, ours.trust(dir, ""))
		if err != nil {
			t.Fatal(err)
		}
		c.expectSilence()
		if _, _, err := dialTLS(t, plain, clients.trust(dir, "")); err == nil {
			t.Error("a server of an authority that is not trusted is accepted")
		}
	})
	t.Run("old versions", func(t *testing.T) {
		for _, version := range []uint16{tls.VersionTLS10, tls.VersionTLS11} {
			c := ours.trust(dir, "")
			c.MinVersion, c.MaxVersion = version, version
			if _, _, err := dialTLS(t, plain, c); err == nil {
				t.Errorf("version %x is spoken", version)
			}
		}
		c := ours.trust(dir, "")
		c.MaxVersion = tls.VersionTLS12
		if _, _, err := dialTLS(t, plain, c); err != nil {
			t.Errorf("version 1.2: %v", err)
		}
	})
	t.Run("client certificates", func(t *testing.T) {
		for name, ok := range map[string]bool{"client": true, "": false, "wrong": false} {
			for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
				c := ours.trust(dir, name)
				c.MaxVersion = version
				if _, _, err := dialTLS(t, mutual, c); (err == nil) != ok {
					t.Errorf("version %x with certificate %q: %v", version, name, err)
				}
			}
		}
	})
	t.Run("not TLS", func(t *testing.T) {
		c := dialRaw(t, plain)
		c.send(connectPacket(mqtt311, "c", "", 60))
		c.expectClosed()
		log.wait(t, "TLS: ")
	})
	t.Run("mosquitto", func(t *testing.T) {
		put(t, filepath.Join(dir, "ours.pem"), ours.pem)
		args := []string{"-h", "127.0.0.1", "-p", port(mutual), "-t", "t", "-m", "x", "-q", "1", "--cafile", filepath.Join(dir, "ours.pem"),
			"--cert", filepath.Join(dir, "client.pem"), "--key", filepath.Join(dir, "client.key")}
		if out, err := exec.Command("mosquitto_pub", args...).CombinedOutput(); err != nil {
			t.Errorf("%v: %s", err, out)
		}
	})
}

// Changed files are used for the next client, those that are wrong are not.
func TestTLSFilesChange(t *testing.T) {
	dir := t.TempDir()
	ours, others := newAuthority(t, "ours"), newAuthority(t, "others")
	ours.write(dir, "server")
	ours.write(dir, "client")
	others.write(dir, "stranger")
	put(t, filepath.Join(dir, "ca.pem"), ours.pem)
	files := TLSFiles{Cert: filepath.Join(dir, "server.pem"), Key: filepath.Join(dir, "server.key"), ClientCA: filepath.Join(dir, "ca.pem")}
	s, log := start(t, Options{Sink: &testSink{}, Endpoints: []Endpoint{{Addr: "127.0.0.1:0", TLS: &files}}})
	serial := func() int64 {
		t.Helper()
		_, conn, err := dialTLS(t, s, ours.trust(dir, "client"))
		if err != nil {
			t.Fatal(err)
		}
		return conn.ConnectionState().PeerCertificates[0].SerialNumber.Int64()
	}
	first := serial()
	ours.write(dir, "server")
	second := serial()
	if second == first {
		t.Error("the certificate before is still in use")
	}
	put(t, files.Cert, []byte("half a certif"))
	if serial() != second {
		t.Error("another certificate, although that in the file is broken")
	}
	if serial(); log.count("changed certificate files cannot be used") != 1 {
		t.Error("not logged once")
	}
	if err := os.Remove(files.Key); err != nil {
		t.Fatal(err)
	}
	if serial() != second {
		t.Error("another certificate, although the key is gone")
	}
	ours.write(dir, "server")
	if serial() == second {
		t.Error("the mended certificate is not in use")
	}

	put(t, files.ClientCA, others.pem)
	if _, _, err := dialTLS(t, s, ours.trust(dir, "client")); err == nil {
		t.Error("a client of the authority before is let in")
	}
	if _, _, err := dialTLS(t, s, ours.trust(dir, "stranger")); err != nil {
		t.Errorf("a client of the new authority: %v", err)
	}
}

func TestTLSFilesThatAreWrong(t *testing.T) {
	dir := t.TempDir()
	newAuthority(t, "a").write(dir, "server")
	good := TLSFiles{Cert: filepath.Join(dir, "server.pem"), Key: filepath.Join(dir, "server.key")}
	if err := CheckTLS(good); err != nil {
		t.Error(err)
	}
	put(t, filepath.Join(dir, "empty.pem"), nil)
	for name, files := range map[string]TLSFiles{
		"no certificate": {Cert: filepath.Join(dir, "none.pem"), Key: good.Key},
		"no key":         {Cert: good.Cert, Key: filepath.Join(dir, "none.key")},
		"no authority":   {Cert: good.Cert, Key: good.Key, ClientCA: filepath.Join(dir, "none.pem")},
		"empty":          {Cert: good.Cert, Key: good.Key, ClientCA: filepath.Join(dir, "empty.pem")},
		"swapped":        {Cert: good.Key, Key: good.Cert},
	} {
		if _, err := Listen(t.Context(), Options{Sink: &testSink{}, Endpoints: []Endpoint{{Addr: "127.0.0.1:0", TLS: &files}}}); err == nil || !strings.Contains(err.Error(), dir) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
