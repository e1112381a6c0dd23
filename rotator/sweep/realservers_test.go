package sweep_test

import (
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"mailu-rotator/crypto"
	"mailu-rotator/mailu"
	"mailu-rotator/mailu/mailutest"
	"mailu-rotator/rotator"
	"mailu-rotator/rotator/rotatortest"
	"mailu-rotator/rotator/sweep"
	"mailu-rotator/test/faultproxy"
	"mailu-rotator/vault"
	"mailu-rotator/vault/vaulttest"
)

const (
	realUser = "admin@tenant.example"
	oldPass  = "the password before"
	realTTL  = 20 * time.Second
)

// ground is one tenant on a real Vault, behind a proxy that can fail, and a Mailu
// server. The clock is a fake: its sleepers do not wait.
type ground struct {
	vault *vaulttest.Server
	proxy *faultproxy.Proxy
	mailu *mailutest.Server
	clock *rotatortest.Clock
	ring  *crypto.Keyring
	path  string

	mu   sync.Mutex
	made int // passwords
}

// newGround puts one credential, a year old, on its own Vault.
func newGround(t *testing.T) *ground {
	t.Helper()
	server := vaulttest.Run(t, vaulttest.Options{})
	must(t, server.Provision(t.Context(), vaulttest.DefaultLayout()))
	proxy, err := faultproxy.NewProxy(server.Addr)
	must(t, err)
	t.Cleanup(proxy.Close)
	g := &ground{
		vault: server, proxy: proxy,
		mailu: mailutest.Run(t, mailutest.Config{}),
		clock: rotatortest.NewClock(time.Now()),
		path:  vaulttest.DefaultLayout().Path(tenantA),
	}
	g.mailu.AddUser(realUser, oldPass)
	client := g.open(t)
	g.ring, err = client.MasterKeys(t.Context())
	must(t, err)
	born := g.clock.Now().AddDate(-1, 0, 0).UTC().Format(time.RFC3339)
	g.put(t, map[string]any{
		"username": realUser, "webmail_url": g.mailu.Origin(), "created_at": born, "last_rotated": born,
		"password": g.seal(t, born, oldPass), "key_version": 1, "note": "not ours", "customer": 9007199254740991,
	})
	return g
}

func (g *ground) put(t *testing.T, fields map[string]any) {
	t.Helper()
	must(t, g.vault.Put(t.Context(), g.path, fields))
}

// edit reads the record and writes it whole, as an operator does.
func (g *ground) edit(t *testing.T, change func(map[string]any)) {
	t.Helper()
	fields := g.record(t)
	change(fields)
	g.put(t, fields)
}

func (g *ground) record(t *testing.T) map[string]any {
	t.Helper()
	fields, _, err := g.vault.Get(t.Context(), g.path)
	must(t, err)
	return fields
}

func (g *ground) seal(t *testing.T, lastRotated, password string) string {
	t.Helper()
	sealed, err := crypto.Seal(g.ring.Newest(), crypto.Binding{TenantID: tenantA, LastRotated: lastRotated}, crypto.SecretFromString(password))
	must(t, err)
	return string(sealed)
}

// open logs in to Vault through the proxy.
func (g *ground) open(t *testing.T) *vault.Client {
	t.Helper()
	login, err := vault.NewLogin(vault.Auth{Method: vault.MethodToken, Token: crypto.SecretFromString(g.vault.RootToken)})
	must(t, err)
	client, err := vault.Open(t.Context(), vault.Config{
		Address: g.proxy.URL, Mount: "vault", Prefix: "smtp", Leaf: "admin",
		Transit: vault.Transit{Mount: "transit", Key: "smtp-master"},
		MinWait: 10 * time.Millisecond, MaxWait: 50 * time.Millisecond, Patience: 3 * time.Second,
	}, login)
	must(t, err)
	t.Cleanup(func() { _ = client.Close() })
	return client
}

// sweep is one run of a process that calls itself owner.
func (g *ground) sweep(t *testing.T, owner string) sweep.Row {
	t.Helper()
	client := g.open(t)
	origin, err := rotator.ParseOrigin(g.mailu.Origin())
	must(t, err)
	servers, err := mailu.New([]mailu.ServerConfig{{
		Origin: origin, Token: crypto.SecretFromString(g.mailu.Token()), MaxConcurrent: 2, Timeout: 500 * time.Millisecond,
	}}, mailu.Options{RetryWait: time.Millisecond, MaxRetryWait: 2 * time.Millisecond})
	must(t, err)
	defer servers.Close()
	policy, err := rotator.ParsePolicy("180_days")
	must(t, err)
	generator, err := crypto.NewGenerator(crypto.DefaultRecipe())
	must(t, err)
	s := sweep.Sweep{
		Store: client, Keys: client, Mailu: servers, Clock: g.clock, Time: &rotatortest.Store{Clock: g.clock},
		NewPassword: func() (crypto.Secret, error) {
			g.mu.Lock()
			defer g.mu.Unlock()
			g.made++
			return generator.Generate()
		},
		DefaultPolicy: policy, Owner: owner, Workers: 2, Cores: 2, ClaimTTL: realTTL, Canary: true,
	}
	report, err := s.Run(t.Context(), sweep.Selection{}, 0)
	must(t, err)
	return report.Rows[0]
}

// held opens what Vault holds: the current password and the pending one, if any.
func (g *ground) held(t *testing.T) (current, pending string) {
	t.Helper()
	fields := g.record(t)
	open := func(fields map[string]any) string {
		password, err := g.ring.Open(0, crypto.Binding{TenantID: tenantA, LastRotated: fields["last_rotated"].(string)}, crypto.SealedPassword(fields["password"].(string)))
		must(t, err)
		return password.RevealString()
	}
	if p, ok := fields["pending"].(map[string]any); ok {
		pending = open(p)
	}
	return open(fields), pending
}

// mustAccept fails unless Mailu accepts what Vault holds, including the pending
// password unless atRest.
func (g *ground) mustAccept(t *testing.T, atRest bool) {
	t.Helper()
	current, pending := g.held(t)
	switch {
	case atRest && pending != "":
		t.Fatal("a pending password is left at rest")
	case !g.mailu.Accepts(realUser, current) && !(pending != "" && g.mailu.Accepts(realUser, pending)):
		t.Fatal("locked out: Mailu accepts nothing that Vault holds")
	}
}

func (g *ground) mustBe(t *testing.T, row sweep.Row, want rotator.Outcome) {
	t.Helper()
	if row.Outcome != want {
		t.Fatalf("outcome %s (%s), want %s", row.Outcome, row.Reason, want)
	}
}

// mustHaveRotated fails unless the old password is gone, the record is at rest and the
// fields of others are unchanged.
func (g *ground) mustHaveRotated(t *testing.T) {
	t.Helper()
	g.mustAccept(t, true)
	if g.mailu.Accepts(realUser, oldPass) {
		t.Fatal("Mailu still accepts the old password")
	}
	fields := g.record(t)
	if fields["note"] != "not ours" || toString(fields["customer"]) != "9007199254740991" {
		t.Fatalf("fields of others changed: note %v, customer %v", fields["note"], fields["customer"])
	}
}

func (g *ground) mustHaveMade(t *testing.T, passwords int) {
	t.Helper()
	if g.made != passwords {
		t.Fatalf("%d passwords were made, want %d", g.made, passwords)
	}
}

// writes matches the n-th write of the record, counted from 1, and calls then, if
// given, when it arrives.
func (g *ground) write(n int, then func()) func(*http.Request) bool {
	seen := 0
	return func(r *http.Request) bool {
		if r.Method != http.MethodPut && r.Method != http.MethodPost || !strings.HasSuffix(r.URL.Path, "/vault/data/"+g.path) {
			return false
		}
		seen++
		if seen == n && then != nil {
			then()
		}
		return seen == n
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func toString(v any) string {
	if s, ok := v.(interface{ String() string }); ok {
		return s.String()
	}
	return ""
}
