package config

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"mailu-rotator/rotator"
)

func TestValuesReachTheirFields(t *testing.T) {
	c := loadGood(t, "several-servers.yaml")
	server := c.Mailu.Servers[1]

	for name, pair := range map[string][2]any{
		"origin":         {server.Origin, rotator.Origin("http://mail.internal:8080")},
		"api_url":        {server.APIURL, "http://10.0.0.7:8080/api/v1"},
		"allow_http":     {server.AllowHTTP, true},
		"max_concurrent": {server.MaxConcurrent, 64},
		"timeout":        {server.Timeout, 5 * time.Minute},
		"verify":         {server.Verify, VerifyNone},
		"first timeout":  {c.Mailu.Servers[0].Timeout, 30 * time.Second},
		"claim_ttl":      {c.Rotation.ClaimTTL, time.Hour},
		"timezone":       {c.Rotation.Timezone.String(), "Europe/Berlin"},
		"schedule":       {c.Rotation.Schedule.String(), "@every 6h"},
		"default_policy": {c.Rotation.DefaultPolicy.Manual(), true},
		"spread":         {c.Rotation.Spread.String(), "10%"},
	} {
		if pair[0] != pair[1] {
			t.Errorf("%s: got %v, want %v", name, pair[0], pair[1])
		}
	}
}

func TestDependentDefaultsFollowTheirKeys(t *testing.T) {
	approle, wrapped := loadGood(t, "auth-approle.yaml"), loadGood(t, "auth-approle-wrapped.yaml")
	kubernetes, token := loadGood(t, "auth-kubernetes.yaml"), loadGood(t, "auth-token.yaml")

	for name, pair := range map[string][2]string{
		"auth mount":          {approle.Vault.Auth.Mount, "approle"},
		"auth mount, given":   {wrapped.Vault.Auth.Mount, "ops/approle"},
		"auth mount, none":    {token.Vault.Auth.Mount, ""},
		"service account":     {kubernetes.Vault.Auth.JWTFile, ServiceAccountToken},
		"no service account":  {approle.Vault.Auth.JWTFile, ""},
		"api_url of a server": {token.Mailu.Servers[0].APIURL, "https://mail.example.com/api/v1"},
	} {
		if pair[0] != pair[1] {
			t.Errorf("%s: got %q, want %q", name, pair[0], pair[1])
		}
	}
}

func TestEnvironmentFillsWhatTheFileLeavesOut(t *testing.T) {
	c := loadGood(t, "environment.yaml")

	if v := c.Vault; v.Address != "https://vault.example.com:8200" || v.Namespace != "team" || v.CAFile != "/etc/ssl/vault.pem" {
		t.Errorf("got %+v", v)
	}
	if c.Vault.Auth.Token.RevealString() != "t" {
		t.Error("VAULT_TOKEN did not arrive")
	}
}

func TestTheFileWinsOverTheEnvironment(t *testing.T) {
	text := `vault: {address: "https://file.example.com", namespace: "", ca_file: "", auth: {method: token_file, token_file: t}}
mailu: {servers: [{origin: "https://mail.example.com", token_file: t}]}`
	env := environment{"VAULT_ADDR": "https://env.example.com", "VAULT_NAMESPACE": "env", "VAULT_CACERT": "/env", "VAULT_TOKEN": "t"}

	c, err := newLoader("/", env.get).load([]byte(text))

	if err != nil {
		t.Fatal(err)
	}
	if v := c.Vault; v.Address != "https://file.example.com" || v.Namespace != "" || v.CAFile != "" {
		t.Errorf("got %+v", v)
	}
	if !c.Vault.Auth.Token.Empty() {
		t.Error("VAULT_TOKEN was kept although the method does not use it")
	}
}

func TestPathsAreRelativeToTheFile(t *testing.T) {
	dir, err := filepath.Abs(filepath.Join("testdata", "good"))
	if err != nil {
		t.Fatal(err)
	}
	c := loadGood(t, "systemd.yaml")

	for got, want := range map[string]string{
		c.Vault.Auth.RoleIDFile:      filepath.Join(dir, "role-id"),
		c.Vault.Auth.SecretIDFile:    "/run/credentials/mailu-rotator.service/secret-id",
		c.Mailu.Servers[0].TokenFile: "/run/credentials/mailu-rotator.service/mail.token",
	} {
		if got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}

func TestPrintedConfigurationHidesTheToken(t *testing.T) {
	l := newLoader("/", environment{"VAULT_TOKEN": "hidden-token"}.get)
	c, err := l.load(readTestFile(t, examplePath))
	if err != nil {
		t.Fatal(err)
	}

	for _, verb := range []string{"%v", "%+v", "%#v"} {
		if strings.Contains(fmt.Sprintf(verb, *c), "hidden-token") {
			t.Errorf("%s shows VAULT_TOKEN", verb)
		}
	}
}

func TestScheduleIsReadInTheGivenLocation(t *testing.T) {
	schedule, err := ParseSchedule("0 3 * * *")
	if err != nil {
		t.Fatal(err)
	}
	zone := time.FixedZone("east", 2*60*60)

	next := schedule.Next(time.Date(2024, 5, 1, 12, 0, 0, 0, zone))

	if want := time.Date(2024, 5, 2, 3, 0, 0, 0, zone); !next.Equal(want) {
		t.Errorf("got %v, want %v", next, want)
	}
}

func TestNearestFindsTypingErrorsOnly(t *testing.T) {
	known := []string{"schedule", "timezone", "window", "key"}

	for name, want := range map[string]string{
		"shedule": "schedule", "Schedule": "schedule", "time_zone": "timezone", "windows": "window",
		"colour": "", "kay": "key", "xyz": "", "": "",
	} {
		if got := nearest(name, known); got != want {
			t.Errorf("nearest(%q) = %q, want %q", name, got, want)
		}
	}
}
