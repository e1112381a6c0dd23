package main

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"mailu-rotator/rotator"
	"mailu-rotator/test/manyvault"
)

// aDoctor has a configuration for the Vault at an address, and loses patience with it
// soon.
func aDoctor(t *testing.T, address string) *doctor {
	t.Helper()
	dir := t.TempDir()
	token := filepath.Join(dir, "token")
	must(t, os.WriteFile(token, []byte("hvs.test"), 0o600))
	path := filepath.Join(dir, "config.yaml")
	must(t, os.WriteFile(path, fmt.Appendf(nil, `
vault:
  address: %s
  auth: {method: token_file, token_file: %s}
mailu:
  servers:
    - {origin: https://mail.example.com, token_file: %s}
`, address, token, token), 0o644))
	d := &doctor{path: path, stderr: io.Discard, service: findService, patience: time.Second}
	if d.configuration(); d.app == nil {
		t.Fatal("the configuration is not in order")
	}
	return d
}

// recordsCheck is what the doctor says about the list of the tenants.
func (d *doctor) recordsCheck(t *testing.T) rotator.Check {
	t.Helper()
	checks, _ := d.vault(t.Context(), &doctorReport{})
	last := checks[len(checks)-1]
	if last.Name != checkRecords {
		t.Fatalf("the records were not listed: %+v", checks)
	}
	return last
}

func isList(r *http.Request) bool { return strings.HasSuffix(r.URL.Path, "/metadata/smtp") }

func TestDoctorWaitsForTheListOfALargeFleet(t *testing.T) {
	many := manyvault.Fleet{Tenants: 2000, Origin: "https://mail.example.com", Rotated: time.Now(), Policy: "90_days"}.Handler()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if isList(r) {
			time.Sleep(3 * time.Second) // the patience is one
		}
		many.ServeHTTP(w, r)
	}))
	defer server.Close()

	check := aDoctor(t, server.URL).recordsCheck(t)

	if check.State != rotator.CheckOK || check.Found != "2,000 tenants" {
		t.Errorf("got %+v", check)
	}
}

func TestDoctorGivesUpOnAVaultThatDiesDuringTheList(t *testing.T) {
	const sealed = `{"initialized":true,"sealed":true}`
	for name, test := range map[string]struct {
		health http.HandlerFunc
		want   string
	}{
		"silent": {func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }, "does not answer within 1s"},
		"sealed": {func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, sealed) }, "sealed"},
	} {
		t.Run(name, func(t *testing.T) {
			many := manyvault.Fleet{Tenants: 3, Origin: "https://mail.example.com", Rotated: time.Now(), Policy: "90_days"}.Handler()
			dead := make(chan struct{})
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				select {
				case <-dead:
					if r.URL.Path == "/v1/sys/health" {
						test.health(w, r)
						return
					}
					<-r.Context().Done()
				default:
					if isList(r) {
						close(dead)
						<-r.Context().Done()
						return
					}
					many.ServeHTTP(w, r)
				}
			}))
			defer server.Close()
			begun := time.Now()

			check := aDoctor(t, server.URL).recordsCheck(t)

			if check.State != rotator.CheckFailed || !strings.HasPrefix(check.Found, "vault serves no more: ") || !strings.HasSuffix(check.Found, test.want) {
				t.Errorf("got %+v", check)
			}
			if took := time.Since(begun); took > 30*time.Second {
				t.Errorf("it took %v", took)
			}
		})
	}
}
