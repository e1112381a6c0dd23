package vault

import (
	"cmp"
	"net/http"
	"testing"
)

// Many requests are under way when a node is lost, and each of them notices.
func TestANodeIsLeftOnceForAllItsRequests(t *testing.T) {
	n := newNodes(Config{Address: "http://127.0.0.1:1", OtherAddresses: []string{"http://127.0.0.1:2", "http://127.0.0.1:3"}}.withDefaults(), nil)
	lost := n.get(t.Context())
	n.leave(lost)
	next := n.get(t.Context())

	n.leave(lost)

	if got := n.get(t.Context()); next == lost || got != next {
		t.Errorf("the second request that fails at %s leaves %s for %s", lost, next, got)
	}
}

// A load balancer or a certificate may go by the name.
func TestARequestNamesTheNodeThatItGoesTo(t *testing.T) {
	n := newNodes(Config{Address: "https://vault-b.example:8200"}.withDefaults(), nil)
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://vault-a.example:8200/v1/sys/health", nil)
	if err != nil {
		t.Fatal(err)
	}

	sent := n.get(t.Context()).readdress(req)

	if to := cmp.Or(sent.Host, sent.URL.Host); to != "vault-b.example:8200" || sent.URL.Host != to || req.URL.Host != "vault-a.example:8200" {
		t.Errorf("sent to %s as %q, from %s", sent.URL, sent.Host, req.URL)
	}
}
