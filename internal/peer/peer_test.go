package peer_test

import (
	"encoding/pem"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"mailu-rotator/internal/peer"
)

func TestOnlyThisMachineIsLoopback(t *testing.T) {
	for host, want := range map[string]bool{
		"localhost": true, "LocalHost": true, "127.0.0.1": true, "127.255.255.254": true, "::1": true, "::ffff:127.0.0.1": true,

		"": false, "localhost.": false, "localhost.example": false, "mail.example.com": false, "127.1": false, "0177.0.0.1": false,
		"0.0.0.0": false, "::": false, "192.0.2.1": false, "[::1]": false, "::1%eth0": false, "127.0.0.1:80": false, "128.0.0.1": false,
	} {
		if got := peer.IsLoopback(host); got != want {
			t.Errorf("%q: %t", host, got)
		}
	}
}

func TestAuthoritiesOfAFile(t *testing.T) {
	dir := t.TempDir()
	write := func(name string, content []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	server := httptest.NewTLSServer(http.NotFoundHandler())
	defer server.Close()
	cert := server.Certificate()
	for name, test := range map[string]struct {
		file    string
		trusted bool
		err     string
	}{
		"none":        {"", false, ""},
		"a good one":  {write("ca.pem", pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Raw})), true, ""},
		"missing":     {dir + "/nowhere", false, "nowhere: no such file"},
		"of a token":  {write("token", []byte("hvs.secret")), false, "token holds no PEM certificate"},
		"of nothing":  {write("empty", nil), false, "empty holds no PEM certificate"},
		"a directory": {dir, false, "is a directory"},
	} {
		authorities, err := peer.Authorities(test.file)

		switch {
		case test.err != "" && (err == nil || !strings.Contains(err.Error(), test.err) || strings.Contains(err.Error(), "secret")):
			t.Errorf("%s: %v", name, err)
		case test.err == "" && (err != nil || (authorities != nil) != test.trusted):
			t.Errorf("%s: %v, %v", name, authorities, err)
		}
	}
}

func TestRetryAfterIsBounded(t *testing.T) {
	type answer struct {
		after time.Duration
		given bool
	}
	for value, want := range map[string]answer{
		"0":                             {0, true},
		" 7 ":                           {7 * time.Second, true},
		"3600":                          {time.Hour, true},
		"3601":                          {time.Hour, true},
		"99999999999999999999999":       {time.Hour, true},
		"-5":                            {0, true},
		"-99999999999999999999999":      {0, true},
		"Sat, 01 Jan 2000 00:10:00 GMT": {10 * time.Minute, true}, // a bubble's clock starts at 00:00
		"Fri, 31 Dec 1999 00:00:00 GMT": {0, true},
		"Fri, 31 Dec 2049 00:00:00 GMT": {time.Hour, true},
		"":                              {0, false},
		"soon":                          {0, false},
		"1.5":                           {0, false},
	} {
		synctest.Test(t, func(t *testing.T) {
			after, given := peer.RetryAfter(http.Header{"Retry-After": {value}})

			if got := (answer{after, given}); got != want {
				t.Errorf("%q: got %v, want %v", value, got, want)
			}
		})
	}
}
