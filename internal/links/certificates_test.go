//go:build unix

package links_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/mqttdb/mqttdb/internal/mosquitto"
)

// authority signs certificates, and keeps them as files in a folder of its own.
type authority struct {
	once   sync.Once // for the certificate of brokers
	t      *testing.T
	dir    string
	key    *ecdsa.PrivateKey
	root   *x509.Certificate
	serial int64
}

// newAuthority makes one; its own certificate is the file "ca".
func newAuthority(t *testing.T) *authority {
	t.Helper()
	a := &authority{t: t, dir: t.TempDir()}
	a.key = a.newKey()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test authority"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der := a.sign(template, template, a.key, a.key)
	var err error
	if a.root, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	a.write(a.file("ca"), "CERTIFICATE", der)
	return a
}

func (a *authority) newKey() *ecdsa.PrivateKey {
	a.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.t.Fatal(err)
	}
	return key
}

func (a *authority) sign(template, parent *x509.Certificate, key, by *ecdsa.PrivateKey) []byte {
	a.t.Helper()
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, by)
	if err != nil {
		a.t.Fatal(err)
	}
	return der
}

// file is the path of a file of the authority's.
func (a *authority) file(name string) string { return filepath.Join(a.dir, name+".pem") }

func (a *authority) write(file, kind string, der []byte) {
	a.t.Helper()
	if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
		a.t.Fatal(err)
	}
}

// issue writes a certificate for name, which is one for 127.0.0.1 too, and its
// key; both files are replaced if they are there.
func (a *authority) issue(name string, expires time.Time) (certFile, keyFile string) {
	a.t.Helper()
	a.serial++
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1 + a.serial), Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: expires,
		DNSNames: []string{name}, IPAddresses: []net.IP{{127, 0, 0, 1}},
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	key := a.newKey()
	certFile, keyFile = a.file(name), a.file(name+"-key")
	a.write(certFile, "CERTIFICATE", a.sign(template, a.root, key, a.key))
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		a.t.Fatal(err)
	}
	a.write(keyFile, "PRIVATE KEY", der)
	return certFile, keyFile
}

// secures is how a mosquitto's last listener gets a certificate of the
// authority's, and asks its clients for one.
func (a *authority) secures() mosquitto.Option {
	a.t.Helper()
	a.once.Do(func() { a.issue("broker.example", time.Now().Add(time.Hour)) }) // one for all that run side by side
	certFile, keyFile := a.file("broker.example"), a.file("broker.example-key")
	return mosquitto.WithConfig("cafile "+a.file("ca"), "certfile "+certFile, "keyfile "+keyFile, "require_certificate true")
}
