//go:build !js

package main

import (
	"bytes"
	"crypto/tls"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"
	"os"

	"github.com/mqttdb/mqttdb/config"
)

// clientOf makes what asks the gateway of a configuration. The commands reach it at
// an address that its certificate need not name, and know the certificate itself:
// they trust that one, and no other.
func clientOf(h *config.HTTP) (*http.Client, error) {
	if h.TLS.CertFile == "" {
		return http.DefaultClient, nil
	}
	if h.TLS.ClientCAFile != "" {
		return nil, errors.New("http.tls.client_ca_file: the gateway wants a certificate, and the commands have none: use a program that has one, like curl --cert")
	}
	if _, err := leaf(h.TLS.CertFile); err != nil {
		return nil, err
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.TLSClientConfig = &tls.Config{
		MinVersion:         tls.VersionTLS12,
		InsecureSkipVerify: true, // VerifyConnection does it
		VerifyConnection: func(s tls.ConnectionState) error {
			known, err := leaf(h.TLS.CertFile) // it may have been replaced
			if err != nil {
				return err
			}
			if len(s.PeerCertificates) == 0 || !bytes.Equal(s.PeerCertificates[0].Raw, known) {
				return fmt.Errorf("it has another certificate than %s: is that the gateway of this configuration?", h.TLS.CertFile)
			}
			return nil
		},
	}
	return &http.Client{Transport: transport}, nil
}

// leaf reads the first certificate of a PEM file.
func leaf(name string) ([]byte, error) {
	text, err := os.ReadFile(name)
	if err != nil {
		return nil, fmt.Errorf("http.tls.cert_file: %w", err)
	}
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		if block.Type == "CERTIFICATE" {
			return block.Bytes, nil
		}
	}
	return nil, fmt.Errorf("http.tls.cert_file: %s holds no certificate", name)
}
