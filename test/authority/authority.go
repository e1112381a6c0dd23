// Package authority makes a certificate authority for the servers of tests, and issues
// their certificates and those of their clients.
package authority

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

// Authority is a CA; its key exists in memory only.
type Authority struct {
	CertFile string         // the CA's certificate, PEM
	Pool     *x509.CertPool // the same

	dir  string
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

// New makes a CA with this common name. Its files are in dir.
func New(dir, name string) (*Authority, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make a CA key: %w", err)
	}
	template := certificate(name)
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
	a := &Authority{CertFile: filepath.Join(dir, "ca.pem"), Pool: x509.NewCertPool(), dir: dir, cert: cert, key: key}
	a.Pool.AddCert(cert)
	return a, writePEM(a.CertFile, "CERTIFICATE", der)
}

// Server issues a certificate for a server on loopback and returns the PEM files of the
// certificate and its key.
func (a *Authority) Server() (certFile, keyFile string, err error) {
	server := certificate("localhost")
	server.DNSNames = []string{"localhost"}
	server.IPAddresses = []net.IP{net.IPv4(127, 0, 0, 1)}
	server.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	return a.issue("server", server)
}

// Expired is like Server, with a certificate that has expired.
func (a *Authority) Expired() (certFile, keyFile string, err error) {
	server := certificate("localhost")
	server.DNSNames = []string{"localhost"}
	server.IPAddresses = []net.IP{net.IPv4(127, 0, 0, 1), net.IPv4(127, 0, 0, 2)}
	server.NotBefore, server.NotAfter = server.NotBefore.Add(-time.Hour), server.NotBefore
	return a.issue("expired", server)
}

// Client issues a client certificate with this common name and returns the PEM files of
// the certificate and its key.
func (a *Authority) Client(name string) (certFile, keyFile string, err error) {
	client := certificate(name)
	client.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
	return a.issue("client-"+name, client)
}

func (a *Authority) issue(file string, template *x509.Certificate) (certFile, keyFile string, err error) {
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
