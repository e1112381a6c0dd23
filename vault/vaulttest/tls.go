package vaulttest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"
)

// authority is a CA made for one server; its key exists in memory only.
type authority struct {
	dir, certFile         string
	serverCert, serverKey string
	pool                  *x509.CertPool
	cert                  *x509.Certificate
	key                   *ecdsa.PrivateKey
}

// newAuthority makes a CA and the server's certificate in dir.
func newAuthority(dir string) (*authority, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make a CA key: %w", err)
	}
	template := certificate("vaulttest CA")
	template.IsCA = true
	template.BasicConstraintsValid = true
	template.KeyUsage = x509.KeyUsageCertSign
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, fmt.Errorf("make a CA: %w", err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("make a CA: %w", err)
	}
	a := &authority{dir: dir, certFile: filepath.Join(dir, "ca.pem"), pool: x509.NewCertPool(), cert: cert, key: key}
	a.pool.AddCert(cert)
	if err := writePEM(a.certFile, "CERTIFICATE", der); err != nil {
		return nil, err
	}
	server := certificate("localhost")
	server.DNSNames = []string{"localhost"}
	server.IPAddresses = []net.IP{net.IPv4(127, 0, 0, 1)}
	server.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	a.serverCert, a.serverKey, err = a.issue("server", server)
	return a, err
}

// ClientCert issues a client certificate with this common name, signed by the CA of
// CACert, and returns the PEM files of the certificate and its key.
func (s *Server) ClientCert(name string) (certFile, keyFile string, err error) {
	if s.ca == nil {
		return "", "", errors.New("client certificate: the server has no TLS: set Options.TLS")
	}
	client := certificate(name)
	client.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
	return s.ca.issue("client-"+name, client)
}

func (a *authority) issue(file string, template *x509.Certificate) (certFile, keyFile string, err error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return "", "", fmt.Errorf("make a key for %s: %w", file, err)
	}
	template.KeyUsage = x509.KeyUsageDigitalSignature
	certDER, err := x509.CreateCertificate(rand.Reader, template, a.cert, key.Public(), a.key)
	if err != nil {
		return "", "", fmt.Errorf("issue a certificate for %s: %w", file, err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return "", "", fmt.Errorf("encode the key of %s: %w", file, err)
	}
	certFile = filepath.Join(a.dir, file+".pem")
	keyFile = filepath.Join(a.dir, file+"-key.pem")
	return certFile, keyFile, errors.Join(
		writePEM(certFile, "CERTIFICATE", certDER),
		writePEM(keyFile, "PRIVATE KEY", keyDER),
	)
}

// certificate is valid from an hour ago, so that tests may set clocks back.
func certificate(name string) *x509.Certificate {
	now := time.Now()
	return &x509.Certificate{
		SerialNumber: big.NewInt(now.UnixNano()),
		Subject:      pkix.Name{CommonName: name},
		NotBefore:    now.Add(-time.Hour),
		NotAfter:     now.Add(365 * 24 * time.Hour),
	}
}

func writePEM(file, kind string, der []byte) error {
	text := pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
	if err := os.WriteFile(file, text, 0o600); err != nil {
		return fmt.Errorf("write %s: %w", file, err)
	}
	return nil
}
