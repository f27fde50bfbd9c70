//go:build !js

package dial

import "crypto/x509"

// TrustProxy lets o trust an https proxy of these authorities.
func TrustProxy(o *Options, roots *x509.CertPool) { o.proxyRoots = roots }
