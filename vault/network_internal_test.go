package vault

import (
	"strings"
	"testing"

	"mailu-rotator/internal/netfault"
)

// netfault's tests, against real listeners, cover which error has which kind.
func TestEveryFaultOfTheNetworkHasItsOwnFix(t *testing.T) {
	words := map[netfault.Kind]string{
		netfault.Untrusted:     "vault.ca_file",
		netfault.WrongName:     "a name that Vault's certificate is for",
		netfault.Expired:       "renew Vault's certificate",
		netfault.NotYetValid:   "compare the clocks",
		netfault.Certificate:   "replace Vault's certificate",
		netfault.OldTLS:        "TLS 1.2",
		netfault.WantsClient:   "vault.auth.method cert",
		netfault.Handshake:     "client certificate",
		netfault.NotTLS:        "the scheme",
		netfault.IsTLS:         "the scheme",
		netfault.UnknownName:   "resolve",
		netfault.NoNameService: "resolve",
		netfault.Refused:       "systemctl start vault",
		netfault.Unroutable:    "firewall",
		netfault.TimedOut:      "firewall",
		netfault.Closed:        "closes the connection",
		netfault.Proxy:         "HTTPS_PROXY",
	}
	for kind := netfault.Other + 1; kind <= netfault.Proxy; kind++ {
		fix := fixOfFault(kind)
		if words[kind] == "" || !strings.Contains(fix, words[kind]) {
			t.Errorf("kind %d: %q, want %q", kind, fix, words[kind])
		}
		if kind != netfault.Refused && strings.Contains(fix, "start vault") {
			t.Errorf("kind %d: %q", kind, fix)
		}
	}
}
