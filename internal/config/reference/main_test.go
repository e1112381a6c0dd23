package main

import (
	"os"
	"strings"
	"testing"
)

const (
	source = ".."
	page   = "../../../docs/configuration.md"
)

func TestReferenceIsWhatTheStructSays(t *testing.T) {
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}

	renewed, err := renew(string(text), source)

	if err != nil {
		t.Fatal(err)
	}
	if renewed != string(text) {
		t.Errorf("%s is out of date: make generate\n%s", page, difference(string(text), renewed))
	}
}

func TestReferenceHasATableForEachSection(t *testing.T) {
	for name, text := range map[string]string{
		"no table for":        "# Configuration\n",
		"which is no section": "<!-- keys of vualt: generated -->\n<!-- end -->\n",
	} {
		if _, err := renew(text, source); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("got %v, want %q", err, name)
		}
	}
}

func TestKeysAndVariablesAreCode(t *testing.T) {
	for text, want := range map[string]string{
		"required, or VAULT_ADDR":         "required, or `VAULT_ADDR`",
		"1s to 5m, less than a.claim_ttl": "1s to 5m, less than `a.claim_ttl`",
		"@daily and the like, @every 6h":  "`@daily` and the like, `@every 6h`",
		"plain words; 64 KiB, {x}/api/v1": "plain words; 64 KiB, {x}/api/v1",
	} {
		if got := code(text); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}

// difference returns the first line that differs.
func difference(old, renewed string) string {
	a, b := strings.Split(old, "\n"), strings.Split(renewed, "\n")
	for i := range min(len(a), len(b)) {
		if a[i] != b[i] {
			return "has:  " + a[i] + "\nwant: " + b[i]
		}
	}
	return "one is longer"
}
