package vault_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"mailu-rotator/crypto"
	"mailu-rotator/rotator"
	"mailu-rotator/vault"
	"mailu-rotator/vault/vaulttest"
)

// states summarizes the checks: "login ok, mount failed".
func states(checks []rotator.Check) string {
	var all []string
	for _, c := range checks {
		all = append(all, fmt.Sprintf("%s %s", c.Name, c.State))
	}
	return strings.Join(all, ", ")
}

func outside(t *testing.T, config vault.Config, auth vault.Auth) *vault.HealthClient {
	t.Helper()
	login, err := vault.NewLogin(auth)
	must(t, err)
	o, err := vault.NewHealthClient(config, login)
	must(t, err)
	t.Cleanup(o.Close)
	return o
}

// checksOf are those of Vault as a whole.
func checksOf(t *testing.T, o *vault.HealthClient) []rotator.Check {
	checks, _ := o.Check(t.Context())
	return checks
}

func TestHealthTellsAServingVaultFromASealedAndAnAbsentOne(t *testing.T) {
	f := newFixture(t)
	f.config.Patience = time.Second
	o := outside(t, f.config, f.rootAuth())

	if got := states(checksOf(t, o)); got != "reachable ok, initialised ok, unsealed ok, active node ok" {
		t.Errorf("serving: %s", got)
	}

	must(t, f.server.Seal(t.Context()))
	sealed, _ := o.Check(t.Context())
	if got := states(sealed); got != "reachable ok, initialised ok, unsealed failed, active node skipped" || sealed[2].Fix != "vault operator unseal" {
		t.Errorf("sealed: %s", got)
	}
	if _, err := o.Time(t.Context()); err != nil {
		t.Errorf("a sealed Vault did not tell the time: %v", err)
	}

	f.server.Stop()
	absent, _ := o.Check(t.Context())
	if got := states(absent); got != "reachable failed, initialised skipped, unsealed skipped, active node skipped" {
		t.Errorf("absent: %s", got)
	}
	if strings.Contains(absent[0].Found, "sys/health") {
		t.Errorf("the request is in the way of the cause: %q", absent[0].Found)
	}
}

func TestHealthNamesTheWayOutOfATrustProblem(t *testing.T) {
	server := vaulttest.Run(t, vaulttest.Options{TLS: true})
	config := vault.Config{
		Address: server.Addr, Mount: "vault", Prefix: "smtp", Leaf: "admin",
		Transit: vault.Transit{Mount: "transit", Key: "smtp-master"}, Patience: 10 * time.Second,
	}
	auth := (&fixture{server: server}).rootAuth()

	untrusted := checksOf(t, outside(t, config, auth))[0]
	config.CAFile = server.CACert
	trusted := checksOf(t, outside(t, config, auth))[0]
	config.Address = strings.Replace(server.Addr, "https", "http", 1)
	plain := checksOf(t, outside(t, config, auth))[0]

	if untrusted.State != rotator.CheckFailed || !strings.Contains(untrusted.Fix, "vault.ca_file") {
		t.Errorf("untrusted: %+v", untrusted)
	}
	if trusted.State != rotator.CheckOK || !strings.Contains(trusted.Found, "its certificate is trusted") {
		t.Errorf("trusted: %+v", trusted)
	}
	if plain.State != rotator.CheckFailed || !strings.Contains(plain.Fix, "vault.address") {
		t.Errorf("plain http to TLS: %+v", plain)
	}
}

func examine(t *testing.T, config vault.Config, auth vault.Auth) (login rotator.Check, found vault.Examination) {
	t.Helper()
	l, err := vault.NewLogin(auth)
	must(t, err)
	c, login := vault.CheckLogin(t.Context(), config, l)
	if c == nil {
		return login, found
	}
	defer func() { must(t, c.Close()) }()
	found = c.Examine(t.Context(), "write the policy")
	if found.Keys != nil {
		found.Keys.Wipe()
	}
	return login, found
}

const allWell = "may list tenants ok, may read and change records ok, may export the master key ok, KV version 2 ok, master key ok"

func TestExaminationIsContentWithTheLeastPolicy(t *testing.T) {
	f := newFixture(t)

	login, found := examine(t, f.config, f.appRole(t, nil))

	if want := "by approle: a token for 1h0m0s, renewable, policies default, rotator"; login.State != rotator.CheckOK || login.Found != want {
		t.Errorf("got %+v, want %q", login, want)
	}
	if got := states(found.Checks); got != allWell || !found.Readable || found.Keys == nil {
		t.Errorf("got %s", got)
	}
}

// TestExaminationFindsEveryMissingCapability: under each reduced policy some check
// fails, and names the missing path.
func TestExaminationFindsEveryMissingCapability(t *testing.T) {
	f := newFixture(t)
	auth := f.appRole(t, nil)
	policy, err := vault.Policy(f.config)
	must(t, err)

	for _, lesser := range lesserPolicies(t, policy, 3, 4) {
		must(t, f.server.WritePolicy(t.Context(), "rotator", lesser))

		_, found := examine(t, f.config, auth)

		i := slices.IndexFunc(found.Checks, func(c rotator.Check) bool { return c.State == rotator.CheckFailed })
		if i < 0 || found.Checks[i].Fix != "write the policy" || !strings.Contains(found.Checks[i].Found, "the token may not ") {
			t.Errorf("got %s under the lesser policy\n%s", states(found.Checks), lesser)
		}
	}
}

func TestExaminationWarnsOfATokenThatMayDoMore(t *testing.T) {
	f := newFixture(t)
	auth := f.appRole(t, nil)
	policy, err := vault.Policy(f.config)
	must(t, err)
	must(t, f.server.WritePolicy(t.Context(), "rotator", strings.Replace(policy, `"update"`, `"update", "delete", "sudo"`, 1)))

	_, found := examine(t, f.config, auth)

	got := found.Checks[1]
	if got.State != rotator.CheckWarned || !strings.HasSuffix(got.Found, ": delete, sudo") || got.Fix == "" {
		t.Errorf("got %+v", got)
	}
}

func TestExaminationAsksForCapabilitiesOnceAndWritesNothing(t *testing.T) {
	f := newFixture(t).withTenant(t, map[string]any{"v": "1"})
	auth := f.appRole(t, nil)

	examine(t, f.config, auth)

	if n := f.proxy.Count("PUT", "/v1/sys/capabilities-self"); n != 1 {
		t.Errorf("asked %d times, want once", n)
	}
	if _, version, err := f.server.Get(t.Context(), "smtp/"+string(tenant)+"/admin"); err != nil || version != 1 {
		t.Errorf("version %d, %v", version, err)
	}
}

func TestExaminationTellsTheVersionsOfTheMasterKey(t *testing.T) {
	f := newFixture(t)
	must(t, f.server.RotateKey(t.Context()))
	must(t, f.server.RotateKey(t.Context()))
	auth := f.appRole(t, nil)

	_, all := examine(t, f.config, auth)
	f.write(t, "transit/keys/smtp-master/config", map[string]any{"min_decryption_version": 2})
	_, some := examine(t, f.config, auth)

	if got := all.Checks[4].Found; !strings.HasSuffix(got, "exportable, versions 1 to 3") {
		t.Errorf("got %q", got)
	}
	if got := some.Checks[4].Found; !strings.HasSuffix(got, "versions 2 to 3 (min_decryption_version keeps older ones back)") {
		t.Errorf("got %q", got)
	}
}

func TestCheckedLoginSaysHowToFixIt(t *testing.T) {
	f := newFixture(t)
	role := f.appRole(t, nil)
	f.config.Patience = 2 * time.Second
	wrong, elsewhere := role, role
	wrong.SecretIDFile = file(t, "secret-id", "wrong")
	elsewhere.Mount = "nowhere"

	refused, _ := examine(t, f.config, wrong)
	missing, _ := examine(t, f.config, elsewhere)
	root, _ := examine(t, f.config, f.rootAuth())

	if want := "vault write -f -field=secret_id auth/approle/role/mailu-rotator/secret-id >" + wrong.SecretIDFile; refused.State != rotator.CheckFailed || refused.Fix != want {
		t.Errorf("got %+v, want %q", refused, want)
	}
	if missing.State != rotator.CheckFailed || missing.Fix == "" {
		t.Errorf("got %+v", missing)
	}
	if root.State != rotator.CheckWarned || !strings.Contains(root.Found, "may do everything") {
		t.Errorf("got %+v", root)
	}
}

// tokenLife checks the login with a token of these parameters. latest is the latest
// time that its explicit_max_ttl allows.
func (f *fixture) tokenLife(t *testing.T, method vault.Method, parameters map[string]any) (login rotator.Check, latest string) {
	t.Helper()
	parameters["policies"] = []string{"rotator"}
	secret, err := f.root.Logical().WriteWithContext(t.Context(), "auth/token/create", parameters)
	must(t, err)
	token := secret.Auth.ClientToken
	auth := vault.Auth{Method: method, ReadSecret: readSecret}
	if method == vault.MethodToken {
		auth.Token = crypto.SecretFromString(token)
	} else {
		auth.TokenFile = file(t, "token", token)
	}
	self := f.write(t, "auth/token/lookup", map[string]any{"token": token})
	created, err := self["creation_time"].(json.Number).Int64()
	must(t, err)
	longest, err := self["explicit_max_ttl"].(json.Number).Int64()
	must(t, err)
	login, _ = examine(t, f.config, auth)
	return login, time.Unix(created+longest, 0).UTC().Format(time.RFC3339)
}

func TestCheckedLoginSaysWhenTheTokenEndsForGood(t *testing.T) {
	f := newFixture(t)
	policy, err := vault.Policy(f.config)
	must(t, err)
	must(t, f.server.WritePolicy(t.Context(), "rotator", policy))
	const fix = "vault token create -policy=mailu-rotator -period=24h -field=token"
	tests := []struct {
		name       string
		method     vault.Method
		parameters map[string]any
		state      rotator.CheckState
		found      string // LATEST is its latest time
	}{
		{"an end by explicit_max_ttl", vault.MethodToken, map[string]any{"ttl": "30m", "explicit_max_ttl": "2h"},
			rotator.CheckWarned, "a token for 30m0s, renewable until LATEST (explicit_max_ttl), policies default, rotator: nothing will replace it"},
		{"a period does not lift that", vault.MethodToken, map[string]any{"period": "30m", "explicit_max_ttl": "2h"},
			rotator.CheckWarned, "a token for 30m0s, renewable until LATEST (explicit_max_ttl), policies default, rotator: nothing will replace it"},
		{"neither period nor end", vault.MethodToken, map[string]any{"ttl": "30m"},
			rotator.CheckWarned, "a token for 30m0s, renewable, policies default, rotator: it has no period, so no renewal goes beyond Vault's max_lease_ttl (32 days unless it was tuned) from "},
		{"a period", vault.MethodToken, map[string]any{"period": "30m"},
			rotator.CheckOK, "a token for 30m0s, renewable, policies default, rotator"},
		{"not renewable", vault.MethodToken, map[string]any{"ttl": "30m", "renewable": false},
			rotator.CheckWarned, "a token for 30m0s, not renewable, policies default, rotator: nothing will replace it"},
		{"in a file, which an agent may write again", vault.MethodTokenFile, map[string]any{"ttl": "30m", "explicit_max_ttl": "2h"},
			rotator.CheckOK, "a token for 30m0s, renewable until LATEST (explicit_max_ttl), policies default, rotator"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			login, latest := f.tokenLife(t, test.method, test.parameters)

			want := fmt.Sprintf("by %s: %s", test.method, strings.Replace(test.found, "LATEST", latest, 1))
			if login.State != test.state || !strings.HasPrefix(login.Found, want) {
				t.Errorf("%s: %q, want %q", login.State, login.Found, want)
			}
			if login.State == rotator.CheckWarned && !strings.Contains(login.Fix, fix) {
				t.Errorf("the fix is %q", login.Fix)
			}
		})
	}
}
