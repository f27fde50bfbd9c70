package sidecar

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"os"

	"software.sslmate.com/src/go-pkcs12"
)

// tlsSettings are those of OPEN. What is there as text goes before what is in a file.
type tlsSettings struct {
	CA         string   `json:"ca"` // PEM, as Cert and Key
	Cert       string   `json:"cert"`
	Key        string   `json:"key"`
	CAFile     string   `json:"ca_file"`
	CertFile   string   `json:"cert_file"`
	KeyFile    string   `json:"key_file"`
	PFX        []byte   `json:"pfx"` // base64
	Passphrase string   `json:"passphrase"`
	ServerName string   `json:"server_name"`
	ALPN       []string `json:"alpn"`
	Insecure   bool     `json:"insecure"`
}

// material is what a broker has to be signed by, and what we prove ourselves with. It
// is never written anywhere.
type material struct {
	ca, cert, key []byte // PEM
}

// material reads what s names. nil: nothing.
func (s *tlsSettings) material() (*material, error) {
	m := &material{}
	if len(s.PFX) > 0 {
		var err error
		if m.cert, m.key, err = openPFX(s.PFX, s.Passphrase); err != nil {
			return nil, err
		}
	}
	for _, part := range []struct {
		name, text, file string
		to               *[]byte
	}{{"ca", s.CA, s.CAFile, &m.ca}, {"cert", s.Cert, s.CertFile, &m.cert}, {"key", s.Key, s.KeyFile, &m.key}} {
		switch {
		case part.text != "":
			*part.to = []byte(part.text)
		case part.file != "":
			b, err := os.ReadFile(part.file)
			if err != nil {
				return nil, fmt.Errorf("tls.%s_file: %w", part.name, err)
			}
			*part.to = b
		}
	}
	if m.ca == nil && m.cert == nil && m.key == nil {
		return nil, nil
	}
	if (m.cert == nil) != (m.key == nil) {
		return nil, errors.New("tls: certificate and key belong together: give both or none")
	}
	var err error
	if m.key, err = openKey(m.key, s.Passphrase); err != nil {
		return nil, err
	}
	return m, m.apply(&tls.Config{}) // to find out now what is wrong
}

// openPFX takes certificate, those that it is signed by, and key out of PKCS #12.
func openPFX(pfx []byte, passphrase string) (cert, key []byte, err error) {
	private, leaf, chain, err := pkcs12.DecodeChain(pfx, passphrase)
	if errors.Is(err, pkcs12.ErrIncorrectPassword) {
		return nil, nil, errors.New("tls.pfx: the passphrase does not fit")
	} else if err != nil {
		return nil, nil, errors.New("tls.pfx: not a file in PKCS #12 with one certificate and its key")
	}
	der, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		return nil, nil, errors.New("tls.pfx: a kind of key that cannot be used")
	}
	for _, c := range append([]*x509.Certificate{leaf}, chain...) {
		cert = append(cert, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw})...)
	}
	return cert, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), nil
}

// openKey takes the passphrase off a private key.
func openKey(key []byte, passphrase string) ([]byte, error) {
	block, _ := pem.Decode(key)
	if block == nil {
		return key, nil // what is wrong with it tls says
	}
	if block.Type == "ENCRYPTED PRIVATE KEY" {
		return nil, errors.New("tls.key: keys that are encrypted as PKCS #8 are not read: decrypt it, with openssl pkey")
	}
	//lint:ignore SA1019 it protects little, and is what people have
	if !x509.IsEncryptedPEMBlock(block) {
		return key, nil
	}
	//lint:ignore SA1019 likewise
	open, err := x509.DecryptPEMBlock(block, []byte(passphrase))
	if err != nil {
		return nil, errors.New("tls.key: the passphrase does not fit")
	}
	return pem.EncodeToMemory(&pem.Block{Type: block.Type, Bytes: open}), nil
}

// apply gives c what m has.
func (m *material) apply(c *tls.Config) error {
	if m == nil {
		return nil
	}
	if len(bytes.TrimSpace(m.ca)) > 0 {
		c.RootCAs = x509.NewCertPool()
		if !c.RootCAs.AppendCertsFromPEM(m.ca) {
			return errors.New("tls.ca: no certificate in PEM form")
		}
	}
	if m.cert != nil {
		pair, err := tls.X509KeyPair(m.cert, m.key)
		if err != nil {
			return errors.New("tls.cert and tls.key are not a certificate and its key in PEM form")
		}
		c.Certificates = []tls.Certificate{pair}
	}
	return nil
}
