package vault_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"mailu-rotator/vault/vaulttest"
)

// said is an answer of the server itself, without any client's handling.
type said struct {
	status int
	text   string
	keys   []string // of a list
}

// tell sends a request with the root token.
func tell(t *testing.T, s *vaulttest.Server, method, path, body string) said {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, s.Addr+"/v1/"+path, strings.NewReader(body))
	must(t, err)
	req.Header.Set("X-Vault-Token", s.RootToken)
	req.Header.Set("X-Vault-Request", "true")
	resp, err := http.DefaultTransport.RoundTrip(req)
	must(t, err)
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	must(t, err)
	var list struct{ Data struct{ Keys []string } }
	_ = json.Unmarshal(text, &list) // others have none, or an object
	return said{resp.StatusCode, string(text), list.Data.Keys}
}

// What this package takes for granted, see docs/vault-facts.md, by the server that tests
// find: MAILU_ROTATOR_VAULT, else vault or bao on PATH, else the one that is built.
func TestServerKeepsTheContract(t *testing.T) {
	s := vaulttest.Run(t, vaulttest.Options{})
	must(t, s.Provision(t.Context(), vaulttest.DefaultLayout()))
	const data, metadata = "vault/data/smtp/a/admin", "vault/metadata/smtp/a/admin"
	t.Logf("the server: %s", tell(t, s, "GET", "sys/health", "").text)
	for _, step := range []struct {
		fact, method, path, body string
		status                   int
		says                     string
	}{
		{"an empty folder is not found", "GET", "vault/metadata/smtp?list=true", "", 404, `"errors":[]`},
		{"so is an absent record", "GET", data, "", 404, `"errors":[]`},
		{"cas 0 creates", "PUT", data, `{"options":{"cas":0},"data":{"v":"1","n":9007199254740993}}`, 200, `"version":1`},
		{"cas 0 creates once", "PUT", data, `{"options":{"cas":0},"data":{"v":"x"}}`, 400, "check-and-set parameter did not match the current version"},
		{"cas is the current version", "PUT", data, `{"options":{"cas":1},"data":{"v":"2"}}`, 200, `"version":2`},
		{"a repeated write is a mismatch", "PUT", data, `{"options":{"cas":1},"data":{"v":"2"}}`, 400, "check-and-set parameter did not match the current version"},
		{"earlier versions stay", "GET", data + "?version=1", "", 200, `"v":"1"`},
		{"a folder ends in a slash", "GET", "vault/metadata/smtp?list=true", "", 200, `"keys":["a/"]`},
		{"a soft delete", "DELETE", data, "", 204, ""},
		{"keeps the version", "GET", data, "", 404, `"version":2`},
		{"and its successor is the next", "PUT", data, `{"options":{"cas":2},"data":{"v":"3"}}`, 200, `"version":3`},
		{"metadata goes for good", "DELETE", metadata, "", 204, ""},
		{"and cas begins anew", "PUT", data, `{"options":{"cas":0},"data":{"v":"4"}}`, 200, `"version":1`},
		{"the master key is exported by version", "GET", "transit/export/encryption-key/smtp-master", "", 200, `"keys":{"1":"`},
		{"a missing key is not found", "GET", "transit/export/encryption-key/none", "", 404, ""},
		{"a mount says its version", "GET", "sys/internal/ui/mounts/vault", "", 200, `"version":"2"`},
		{"health says the time", "GET", "sys/health", "", 200, `"server_time_utc":`},
		{"health says the cluster", "GET", "sys/health", "", 200, `"cluster_id":`},
		{"the leader is asked without a token", "GET", "sys/leader", "", 200, `"ha_enabled":`},
		{"capabilities are listed by path", "PUT", "sys/capabilities-self", `{"paths":["` + data + `"]}`, 200, `"` + data + `":["root"]`},
		{"a token says its policies", "GET", "auth/token/lookup-self", "", 200, `"policies":["root"]`},
	} {
		got := tell(t, s, step.method, step.path, step.body)

		if got.status != step.status || !strings.Contains(got.text, step.says) {
			t.Errorf("%s: %s %s answered %d %s; want %d with %q", step.fact, step.method, step.path, got.status, got.text, step.status, step.says)
		}
	}
	s.RootToken = "wrong"
	if got := tell(t, s, "GET", data, ""); got.status != 403 || !strings.Contains(got.text, "permission denied") {
		t.Errorf("a wrong token: %d %s", got.status, got.text)
	}
}

// OpenBao lists in pages if it is asked to, and otherwise, like Vault, everything.
func TestAListIsWholeUnlessPagesAreAskedFor(t *testing.T) {
	const many = 1500
	s := vaulttest.Run(t, vaulttest.Options{})
	must(t, s.Provision(t.Context(), vaulttest.DefaultLayout()))
	for i := range many {
		if got := tell(t, s, "PUT", fmt.Sprintf("vault/data/smtp/t%04d/admin", i), `{"data":{"v":"1"}}`); got.status != 200 {
			t.Fatalf("write %d: %d %s", i, got.status, got.text)
		}
	}

	got := tell(t, s, "GET", "vault/metadata/smtp?list=true", "")

	if len(got.keys) != many {
		t.Errorf("%d of %d names", len(got.keys), many)
	}
}

// A standby that may not forward names the active node and does nothing: the client must
// go there, and must not send the token wherever such an answer leads.
func TestAStandbyRedirectsToTheActiveNode(t *testing.T) {
	c := newClustered(t)
	leader, err := c.Leader(within(t, time.Minute))
	must(t, err)
	standby, err := c.Followers(leader)[0].Client()
	must(t, err)
	transport := standby.CloneConfig().HttpClient.Transport
	req, err := http.NewRequestWithContext(t.Context(), "GET", c.Followers(leader)[0].Addr+dataOf, nil)
	must(t, err)
	req.Header.Set("X-Vault-Token", c.RootToken)
	req.Header.Set("X-Vault-No-Request-Forwarding", "true")

	resp, err := transport.RoundTrip(req)

	must(t, err)
	defer resp.Body.Close()
	if want := leader.Addr + dataOf; resp.StatusCode != 307 || resp.Header.Get("Location") != want {
		t.Errorf("got %d to %q, want 307 to %q", resp.StatusCode, resp.Header.Get("Location"), want)
	}
}
