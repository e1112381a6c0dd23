package netfault_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"syscall"
	"testing"
	"time"

	"mailu-rotator/internal/netfault"
)

func TestKindOfEveryFault(t *testing.T) {
	now := time.Now()
	valid := issue(t, "127.0.0.1", now.Add(-time.Hour), now.Add(time.Hour))
	expired := issue(t, "127.0.0.1", now.Add(-2*time.Hour), now.Add(-time.Hour))
	early := issue(t, "127.0.0.1", now.Add(time.Hour), now.Add(2*time.Hour))
	other := issue(t, "127.0.0.2", now.Add(-time.Hour), now.Add(time.Hour))
	tests := map[string]struct {
		url    string
		client *http.Client
		want   netfault.Kind
	}{
		"unknown authority":   {serve(t, valid, nil), &http.Client{Transport: &http.Transport{}}, netfault.Untrusted},
		"another name":        {serve(t, other, nil), trusting(other), netfault.WrongName},
		"expired":             {serve(t, expired, nil), trusting(expired), netfault.Expired},
		"not yet valid":       {serve(t, early, nil), trusting(early), netfault.NotYetValid},
		"TLS 1.1 at most":     {serve(t, valid, func(c *tls.Config) { c.MinVersion, c.MaxVersion = tls.VersionTLS10, tls.VersionTLS11 }), trusting(valid), netfault.OldTLS},
		"TLS 1.1 regardless":  {answer(t, "\x16\x03\x02\x00\x2a\x02\x00\x00\x26\x03\x02"+string(make([]byte, 32))+"\x00\xc0\x14\x00", "https"), trusting(valid), netfault.OldTLS},
		"client certificate":  {serve(t, valid, func(c *tls.Config) { c.ClientAuth = tls.RequireAnyClientCert }), trusting(valid), netfault.WantsClient},
		"that of TLS 1.2":     {serve(t, valid, func(c *tls.Config) { c.ClientAuth, c.MaxVersion = tls.RequireAnyClientCert, tls.VersionTLS12 }), trusting(valid), netfault.Handshake},
		"another alert":       {answer(t, "\x15\x03\x03\x00\x02\x02\x28", "https"), trusting(valid), netfault.Handshake},
		"https to http":       {answer(t, "HTTP/1.1 400 Bad Request\r\n\r\n", "https"), trusting(valid), netfault.NotTLS},
		"https to ssh":        {answer(t, "SSH-2.0-OpenSSH_9.9\r\n", "https"), trusting(valid), netfault.NotTLS},
		"http to TLS":         {answer(t, "\x15\x03\x01\x00\x02\x02\x46", "http"), trusting(valid), netfault.IsTLS},
		"nobody listens":      {nobody(t), trusting(valid), netfault.Refused},
		"closed at once":      {answer(t, "", "http"), trusting(valid), netfault.Closed},
		"closed in handshake": {answer(t, "", "https"), trusting(valid), netfault.Closed},
		"silence":             {silence(t), impatient(), netfault.TimedOut},
		"dead proxy":          {"https://vault.example.com", through(nobody(t)), netfault.Proxy},
		"no way to the host":  {"http://vault.example.com", failing(system("dial", "connect", syscall.EHOSTUNREACH)), netfault.Unroutable},
		"no way to its net":   {"http://vault.example.com", failing(system("dial", "connect", syscall.ENETUNREACH)), netfault.Unroutable},
		"reset":               {"http://vault.example.com", failing(system("read", "read", syscall.ECONNRESET)), netfault.Closed},
		"closed under us":     {"http://vault.example.com", failing(system("write", "write", syscall.EPIPE)), netfault.Closed},
		"cut off":             {"http://vault.example.com", failing(io.ErrUnexpectedEOF), netfault.Closed},
		"unknown name":        {"http://vault.example.com", failing(&net.DNSError{Err: "no such host", IsNotFound: true}), netfault.UnknownName},
		"no name service":     {"http://vault.example.com", failing(&net.DNSError{Err: "server misbehaving", IsTemporary: true}), netfault.NoNameService},
		"something else":      {"gopher://vault.example.com", trusting(valid), netfault.Other},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			resp, err := test.client.Get(test.url)
			if err == nil {
				resp.Body.Close()
				t.Fatalf("status %d", resp.StatusCode)
			}

			if got := netfault.Of(err); got != test.want {
				t.Errorf("kind %d, want %d: %v", got, test.want, err)
			}
		})
	}
}

// issue makes a self-signed certificate.
func issue(t *testing.T, ip string, from, to time.Time) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: from, NotAfter: to, IPAddresses: []net.IP{net.ParseIP(ip)},
		BasicConstraintsValid: true, IsCA: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}
}

// serve starts an HTTPS server.
func serve(t *testing.T, certificate tls.Certificate, change func(*tls.Config)) string {
	t.Helper()
	server := httptest.NewUnstartedServer(http.NotFoundHandler())
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.TLS = &tls.Config{Certificates: []tls.Certificate{certificate}}
	if change != nil {
		change(server.TLS)
	}
	server.StartTLS()
	t.Cleanup(server.Close)
	return server.URL
}

// answer starts a listener that reads a little, sends the text and closes.
func answer(t *testing.T, text, scheme string) string {
	t.Helper()
	return scheme + "://" + listen(t, func(conn net.Conn) {
		_, _ = conn.Read(make([]byte, 4096))
		_, _ = io.WriteString(conn, text)
	})
}

func silence(t *testing.T) string {
	t.Helper()
	return "http://" + listen(t, func(net.Conn) { <-t.Context().Done() })
}

func listen(t *testing.T, serve func(net.Conn)) (address string) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go func() { defer conn.Close(); serve(conn) }()
		}
	}()
	return listener.Addr().String()
}

func nobody(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	return "http://" + listener.Addr().String()
}

func trusting(certificate tls.Certificate) *http.Client {
	pool := x509.NewCertPool()
	pool.AddCert(certificate.Leaf)
	return &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}}}
}

func impatient() *http.Client {
	return &http.Client{Timeout: 20 * time.Millisecond}
}

func through(proxy string) *http.Client {
	return &http.Client{Transport: &http.Transport{Proxy: func(*http.Request) (*url.URL, error) { return url.Parse(proxy) }}}
}

// system is a system error as package net wraps it.
func system(op, call string, err syscall.Errno) error {
	return &net.OpError{Op: op, Net: "tcp", Err: os.NewSyscallError(call, err)}
}

func failing(err error) *http.Client {
	return &http.Client{Transport: &http.Transport{DialContext: func(context.Context, string, string) (net.Conn, error) { return nil, err }}}
}
