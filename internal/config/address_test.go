package config

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// loadAddress loads a configuration with the address in the file or in VAULT_ADDR.
func loadAddress(address string, fromFile bool) (*Config, error) {
	key, env := "", environment{"VAULT_ADDR": address}
	if fromFile {
		key, env = fmt.Sprintf("address: %q, ", address), environment{}
	}
	text := "vault: {" + key + `auth: {method: token_file, token_file: t}}
mailu: {servers: [{origin: "https://mail.example.com", token_file: t}]}`
	return newLoader("/", env.get).load([]byte(text))
}

func TestAddressesThatAreNotVaultsAreRefused(t *testing.T) {
	const base = "https://vault.example.com:8200"
	for address, words := range map[string]string{
		base + "/v1":                      "write " + base,
		base + "/v1/":                     "write " + base,
		base + "//v1":                     "write " + base,
		base + "/v1/secret/data/x":        "write " + base,
		base + "/%76%31":                  "write " + base,
		base + "/ui":                      "write " + base,
		base + "/ui/vault/secrets":        "write " + base,
		base + "/behind/proxy/v1":         "write " + base + "/behind/proxy",
		base + "/a/../b":                  "an empty part, . or ..",
		base + "//a":                      "an empty part, . or ..",
		base + " ":                        "white space",
		base + "/ ":                       "white space",
		" " + base:                        "white space",
		base + "\t":                       "white space",
		base + "\u200b":                   "invisible character",
		"https://vault.example.com:82 00": "white space",
		"vault.example.com":               "not a URL",
		"vault.example.com:8200":          "not a URL",
		"//vault.example.com":             "not a URL",
		"unix:///run/vault.sock":          "not a URL",
		"https:///v1":                     "a URL without a host",
		base + "/?x=1":                    "query or fragment",
		base + "/#/vault":                 "query or fragment",
		base + "/ui/#/vault":              "query or fragment",
		"https://u:p@vault.example.com":   "credentials",
		"https://vault.example.com:0":     "port",
		"https://vault.example.com:82000": "port",
	} {
		for _, fromFile := range []bool{true, false} {
			_, err := loadAddress(address, fromFile)

			if err == nil || !strings.Contains(err.Error(), "vault.address") || !strings.Contains(err.Error(), words) {
				t.Errorf("%q: got %v, want %q", address, err, words)
			}
			if err != nil && strings.Contains(err.Error(), "VAULT_ADDR") == fromFile {
				t.Errorf("%q: the source is not told: %v", address, err)
			}
		}
	}
}

func TestAnAddressMayHaveAPrefix(t *testing.T) {
	for address, want := range map[string]string{
		"https://vault.example.com:8200/":        "https://vault.example.com:8200",
		"https://example.com/vault/":             "https://example.com/vault",
		"https://example.com/tools/vault-v1/ui2": "https://example.com/tools/vault-v1/ui2",
		"http://[::1]:8200":                      "http://[::1]:8200",
	} {
		c, err := loadAddress(address, true)

		if err != nil || c.Vault.Address != want {
			t.Errorf("%q: got %+v, %v", address, c, err)
		}
	}
}

// loadAddresses loads a configuration with several addresses of Vault.
func loadAddresses(first string, others ...string) (*Config, error) {
	text := fmt.Sprintf(`vault: {address: %q, other_addresses: [%s], auth: {method: token_file, token_file: t}}
mailu: {servers: [{origin: "https://mail.example.com", token_file: t}]}`, first, `"`+strings.Join(others, `", "`)+`"`)
	return newLoader("/", environment{}.get).load([]byte(text))
}

func TestOtherAddressesAreNodesOfTheSameVault(t *testing.T) {
	c, err := loadAddresses("https://vault-1.example:8200", "https://vault-2.example:8200/", "https://vault-1.example:8210")

	want := []string{"https://vault-2.example:8200", "https://vault-1.example:8210"}
	if err != nil || !slices.Equal(c.Vault.OtherAddresses, want) {
		t.Errorf("got %+v, %v", c, err)
	}
}

func TestOtherAddressesThatFitNotTheFirst(t *testing.T) {
	const first = "https://vault-1.example:8200"
	for other, words := range map[string]string{
		"vault-2.example":                   "not a URL",
		"https://vault-2.example:8200/v1":   "write https://vault-2.example:8200",
		"https://u:p@vault-2.example":       "credentials",
		"http://127.0.0.1:8200":             "more than host and port",
		"https://vault-2.example:8200/path": "more than host and port",
		first:                               "vault-1.example:8200 is listed already",
	} {
		_, err := loadAddresses(first, "https://vault-3.example", other)

		if err == nil || !strings.Contains(err.Error(), "vault.other_addresses[1]: ") || !strings.Contains(err.Error(), words) {
			t.Errorf("%q: got %v, want %q", other, err, words)
		}
	}
	if _, err := loadAddresses("http://127.0.0.1:8200", "http://vault.example:8200"); err == nil || !strings.Contains(err.Error(), "plain http to vault.example") {
		t.Errorf("plain http: got %v", err)
	}
}
