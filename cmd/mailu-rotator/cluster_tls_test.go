package main

import (
	"crypto/tls"
	"crypto/x509"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"mailu-rotator/internal/config"
	"mailu-rotator/test/authority"
)

// newAuthority is one for NATS, with the files of a client's certificate.
func newAuthority(t *testing.T) (a *authority.Authority, certFile, keyFile string) {
	t.Helper()
	a, err := authority.New(t.TempDir(), "CA of NATS")
	must(t, err)
	certFile, keyFile, err = a.Client("worker")
	must(t, err)
	return a, certFile, keyFile
}

func mustClusterTLS(t *testing.T, c config.Cluster) *tls.Config {
	t.Helper()
	settings, err := clusterTLS(c)
	must(t, err)
	if settings == nil || settings.MinVersion != tls.VersionTLS12 || settings.InsecureSkipVerify {
		t.Fatalf("got %+v, want TLS 1.2 or later, and that certificates are verified", settings)
	}
	return settings
}

func TestClusterTLSIsLeftToTheURLs(t *testing.T) {
	if settings, err := clusterTLS(config.Cluster{Servers: []string{"tls://nats.example.com"}}); settings != nil || err != nil {
		t.Errorf("got %v, %v", settings, err)
	}
}

func TestClusterTLSTrustsTheAuthorityAlone(t *testing.T) {
	a, _, _ := newAuthority(t)

	settings := mustClusterTLS(t, config.Cluster{CAFile: a.CertFile})

	if !settings.RootCAs.Equal(a.Pool) || settings.GetClientCertificate != nil {
		t.Errorf("got %+v, want the authority, and no certificate", settings)
	}
}

// A certificate may be renewed while the daemon runs.
func TestClusterTLSReadsTheCertificateEachTime(t *testing.T) {
	a, certFile, keyFile := newAuthority(t)
	settings := mustClusterTLS(t, config.Cluster{CertFile: certFile, KeyFile: keyFile})
	if settings.RootCAs != nil {
		t.Error("it trusts others than the system does")
	}
	for range 2 {
		shown, err := settings.GetClientCertificate(nil)
		must(t, err)
		want, err := tls.LoadX509KeyPair(certFile, keyFile)
		must(t, err)
		if string(shown.Certificate[0]) != string(want.Certificate[0]) {
			t.Error("the certificate is not the one in the file")
		}
		leaf, err := x509.ParseCertificate(shown.Certificate[0])
		must(t, err)
		if _, err := leaf.Verify(x509.VerifyOptions{Roots: a.Pool, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}); err != nil {
			t.Error(err)
		}
		_, _, err = a.Client("worker") // a new one, in the same files
		must(t, err)
	}
	must(t, os.Remove(keyFile))
	if _, err := settings.GetClientCertificate(nil); err == nil || !strings.Contains(err.Error(), "cluster.cert_file") || !strings.Contains(err.Error(), keyFile) {
		t.Errorf("error %v, want that it names the key's file", err)
	}
}

func TestClusterTLSNamesTheFileThatIsWrong(t *testing.T) {
	empty := filepath.Join(t.TempDir(), "empty.pem")
	must(t, os.WriteFile(empty, []byte("no certificate\n"), 0o600))
	missing := filepath.Join(t.TempDir(), "missing.pem")
	for file, want := range map[string]string{
		empty:   "cluster.ca_file: " + empty + " has no certificate",
		missing: "cluster.ca_file: open " + missing + ": no such file or directory",
	} {
		if settings, err := clusterTLS(config.Cluster{CAFile: file}); err == nil || err.Error() != want {
			t.Errorf("got %v, %v, want %s", settings, err, want)
		}
	}
}
