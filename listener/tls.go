package listener

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"
)

// TLSFiles are the files, PEM, that make an address one for TLS. They are read
// again when they have changed.
type TLSFiles struct {
	Cert, Key string
	ClientCA  string // clients must have a certificate of this authority; "": they need none
}

// certificates is what was read from TLSFiles. It may be used concurrently.
type certificates struct {
	files TLSFiles
	log   *slog.Logger

	mu     sync.Mutex
	stamps [3]stamp
	config *tls.Config
}

// stamp tells one content of a file from another.
type stamp struct {
	changed time.Time
	size    int64
}

// readCertificates reads the files for the first time.
func readCertificates(files TLSFiles, log *slog.Logger) (*certificates, error) {
	c := &certificates{files: files, log: log}
	stamps, err := c.look()
	if err != nil {
		return nil, err
	}
	c.stamps = stamps
	c.config, err = c.read()
	return c, err
}

// serve is the configuration for the handshakes of an address.
func (c *certificates) serve() *tls.Config {
	return &tls.Config{
		MinVersion:         tls.VersionTLS12,
		GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) { return c.current(), nil },
	}
}

// current returns what the files hold now; while they cannot be read, as in the
// middle of a change, what they held before.
func (c *certificates) current() *tls.Config {
	c.mu.Lock()
	defer c.mu.Unlock()
	stamps, err := c.look()
	if err == nil && stamps == c.stamps {
		return c.config
	}
	var next *tls.Config
	if err == nil {
		next, err = c.read()
	}
	if err == nil {
		c.log.Info("new certificate files are in use", "cert_file", c.files.Cert)
		c.config = next
	} else if stamps != c.stamps {
		c.log.Warn("changed certificate files cannot be used; those before are", "cert_file", c.files.Cert, "error", err)
	}
	c.stamps = stamps
	return c.config
}

// look returns the stamps of the files; of one that is not there it is zero.
func (c *certificates) look() (stamps [3]stamp, err error) {
	for i, name := range []string{c.files.Cert, c.files.Key, c.files.ClientCA} {
		if name == "" {
			continue
		}
		info, e := os.Stat(name)
		if e != nil {
			err = errors.Join(err, e)
			continue
		}
		stamps[i] = stamp{info.ModTime(), info.Size()}
	}
	return stamps, err
}

func (c *certificates) read() (*tls.Config, error) {
	pair, err := tls.LoadX509KeyPair(c.files.Cert, c.files.Key)
	if err != nil {
		return nil, fmt.Errorf("read the certificate %s and its key: %w", c.files.Cert, err)
	}
	config := &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{pair}}
	if c.files.ClientCA == "" {
		return config, nil
	}
	text, err := os.ReadFile(c.files.ClientCA)
	if err != nil {
		return nil, fmt.Errorf("read the authority of the clients: %w", err)
	}
	config.ClientCAs, config.ClientAuth = x509.NewCertPool(), tls.RequireAndVerifyClientCert
	if !config.ClientCAs.AppendCertsFromPEM(text) {
		return nil, fmt.Errorf("read the authority of the clients: %s holds no certificate", c.files.ClientCA)
	}
	return config, nil
}

// ServeTLS returns the configuration for the handshakes of another server of the same
// program with such files, which are read again when they have changed.
func ServeTLS(files TLSFiles, log *slog.Logger) (*tls.Config, error) {
	c, err := readCertificates(files, log)
	if err != nil {
		return nil, err
	}
	return c.serve(), nil
}

// CheckTLS says whether the files can be used.
func CheckTLS(files TLSFiles) error {
	_, err := readCertificates(files, slog.New(slog.DiscardHandler))
	return err
}

// shake makes the TLS handshake on a connection whose deadline is set.
func shake(conn *tls.Conn) error {
	if err := conn.HandshakeContext(context.Background()); err != nil {
		return fmt.Errorf("TLS: %w", err)
	}
	return nil
}
