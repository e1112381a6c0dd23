package vault_test

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"testing"

	"github.com/hashicorp/vault/api"

	"mailu-rotator/rotator"
	"mailu-rotator/vault"
)

func open(ctx context.Context, config vault.Config, auth vault.Auth) (*vault.Client, error) {
	login, err := vault.NewLogin(auth)
	if err != nil {
		return nil, err
	}
	return vault.Open(ctx, config, login)
}

// work sends every request of a sweep.
func work(ctx context.Context, config vault.Config, auth vault.Auth) (err error) {
	c, err := open(ctx, config, auth)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.Close()) }()
	if _, err := listed(c.List(ctx)); err != nil {
		return err
	}
	doc, err := c.Read(ctx, tenant)
	if err != nil {
		return err
	}
	if _, err := c.Write(ctx, tenant, doc); err != nil {
		return err
	}
	ring, err := c.MasterKeys(ctx)
	if err != nil {
		return err
	}
	ring.Wipe()
	_, err = c.Time(ctx)
	return err
}

// adding does the same after creating a new tenant's record.
func adding(ctx context.Context, config vault.Config, auth vault.Auth) (err error) {
	login, err := vault.NewLogin(auth)
	if err != nil {
		return err
	}
	c, err := vault.Open(ctx, config, login)
	if err != nil {
		return err
	}
	_, err = c.Create(ctx, rotator.NewTenantID(rotator.Address(rand.Text()+"@new.example"), 0), map[string]any{"v": "1"})
	if err := errors.Join(err, c.Close()); err != nil {
		return err
	}
	return work(ctx, config, auth)
}

// reading does what a program does that reads passwords.
func reading(ctx context.Context, config vault.Config, auth vault.Auth) (err error) {
	c, err := open(ctx, config, auth)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.Close()) }()
	if _, err := c.Read(ctx, tenant); err != nil {
		return err
	}
	ring, err := c.MasterKeys(ctx)
	if err != nil {
		return err
	}
	ring.Wipe()
	return nil
}

func readingOne(config vault.Config) (string, error) { return vault.ReadingPolicy(config, tenant) }

func readingAll(config vault.Config) (string, error) { return vault.ReadingPolicy(config) }

// removing does what tenant remove does, by the user's address, with a new tenant each
// time, and then sees that nothing is left.
func (f *fixture) removing(t *testing.T) func(context.Context, vault.Config, vault.Auth) error {
	return func(ctx context.Context, config vault.Config, auth vault.Auth) (err error) {
		id := rotator.NewTenantID(rotator.Address(rand.Text()+"@old.example"), 0)
		must(t, f.server.Put(ctx, "smtp/"+string(id)+"/admin", map[string]any{"v": "1"}))
		c, err := open(ctx, config, auth)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, c.Close()) }()
		if _, err := listed(c.List(ctx)); err != nil {
			return err
		}
		doc, err := c.Read(ctx, id)
		if err != nil {
			return err
		}
		if err := c.MayRemove(ctx, id); err != nil {
			return err
		}
		if _, err := c.Write(ctx, id, doc); err != nil {
			return err
		}
		if err := c.Remove(ctx, id); err != nil {
			return err
		}
		if left, err := f.root.Logical().ReadWithContext(ctx, "vault/metadata/smtp/"+string(id)+"/admin"); err != nil || left != nil {
			return fmt.Errorf("left: %v, %w", left, err)
		}
		return nil
	}
}

func TestOnlyWhoeverMayRemoveARecordIsToldSo(t *testing.T) {
	f := newFixture(t).withTenant(t, map[string]any{"v": "1"})
	c := f.open(t, f.appRole(t, nil))

	for name, ask := range map[string]func(context.Context, rotator.TenantID) error{"MayRemove": c.MayRemove, "Remove": c.Remove} {
		if err := ask(t.Context(), tenant); !errors.Is(err, rotator.ErrForbidden) || !strings.Contains(err.Error(), `path "vault/metadata/smtp/+/admin" { capabilities = ["delete"] }`) {
			t.Errorf("%s: got %v, want ErrForbidden and what is missing", name, err)
		}
		if err := ask(t.Context(), "../../secret"); err == nil || errors.Is(err, rotator.ErrForbidden) {
			t.Errorf("%s: a name that is no tenant's: %v", name, err)
		}
	}
	root := f.open(t, f.rootAuth())
	must(t, root.MayRemove(t.Context(), tenant))
	must(t, root.Remove(t.Context(), tenant))
	must(t, root.Remove(t.Context(), tenant)) // as a retry of it
	if _, err := root.Read(t.Context(), tenant); !errors.Is(err, rotator.ErrAbsent) {
		t.Errorf("got %v, want ErrAbsent", err)
	}
}

func TestPolicyIsEnoughAndNotMore(t *testing.T) {
	for _, test := range []struct {
		name                string
		policy              func(vault.Config) (string, error)
		work                func(*fixture, *testing.T) func(context.Context, vault.Config, vault.Auth) error
		rules, capabilities int
	}{
		{"for the daemon", vault.Policy, always(work), 3, 4},
		{"for adding tenants", vault.AddingPolicy, always(adding), 3, 5},
		{"for removing tenants", vault.RemovingPolicy, (*fixture).removing, 3, 4},
		{"for reading passwords", readingAll, always(reading), 2, 2},
		{"for reading one tenant's", readingOne, always(reading), 2, 2},
	} {
		t.Run(test.name, func(t *testing.T) {
			f := newFixture(t).withTenant(t, map[string]any{"v": "1"})
			auth := f.appRole(t, nil)
			policy, err := test.policy(f.config)
			must(t, err)
			must(t, f.server.WritePolicy(t.Context(), "rotator", policy))

			work := test.work(f, t)
			if err := work(t.Context(), f.config, auth); err != nil {
				t.Fatalf("with the whole policy: %v", err)
			}

			for _, lesser := range lesserPolicies(t, policy, test.rules, test.capabilities) {
				must(t, f.server.WritePolicy(t.Context(), "rotator", lesser))
				if err := work(t.Context(), f.config, auth); !errors.Is(err, rotator.ErrForbidden) {
					t.Errorf("got %v, want ErrForbidden under the lesser policy\n%s", err, lesser)
				}
			}
		})
	}
}

func always[F any](work F) func(*fixture, *testing.T) F {
	return func(*fixture, *testing.T) F { return work }
}

func TestReadersOfOneTenantReadNoOther(t *testing.T) {
	f := newFixture(t).withTenant(t, map[string]any{"v": "1"})
	must(t, f.server.Put(t.Context(), "smtp/"+string(another)+"/admin", map[string]any{"v": "1"}))
	auth := f.appRole(t, nil)
	policy, err := readingOne(f.config)
	must(t, err)
	must(t, f.server.WritePolicy(t.Context(), "rotator", policy))
	c := f.open(t, auth)

	_, err = c.Read(t.Context(), another)

	if !errors.Is(err, rotator.ErrForbidden) {
		t.Errorf("got %v, want ErrForbidden", err)
	}
	if policy, err := vault.ReadingPolicy(f.config, "../x"); err == nil {
		t.Errorf("a name that is no tenant's gives\n%s", policy)
	}
}

func TestPolicyOfReadersChangesNothing(t *testing.T) {
	f := newFixture(t).withTenant(t, map[string]any{"v": "1"})
	auth := f.appRole(t, nil)
	policy, err := readingAll(f.config)
	must(t, err)
	must(t, f.server.WritePolicy(t.Context(), "rotator", policy))
	c := f.open(t, auth)
	doc, err := c.Read(t.Context(), tenant)
	must(t, err)

	_, err = c.Write(t.Context(), tenant, doc)

	if !errors.Is(err, rotator.ErrForbidden) {
		t.Errorf("write: got %v, want ErrForbidden", err)
	}
	if _, err := listed(c.List(t.Context())); !errors.Is(err, rotator.ErrForbidden) {
		t.Errorf("list: got %v, want ErrForbidden", err)
	}
}

func TestPolicyOfTheDaemonCreatesNothing(t *testing.T) {
	f := newFixture(t).withTenant(t, map[string]any{"v": "1"})
	c := f.open(t, f.appRole(t, nil))

	_, err := c.Create(t.Context(), another, map[string]any{"v": "1"})

	if !errors.Is(err, rotator.ErrForbidden) || !strings.Contains(err.Error(), `capabilities = ["create"]`) {
		t.Errorf("got %v, want ErrForbidden and what is missing", err)
	}
}

// lesserPolicies removes each stanza, and each capability, in turn.
func lesserPolicies(t *testing.T, policy string, rules, capabilities int) (lesser []string) {
	t.Helper()
	stanzas := regexp.MustCompile(`(?s)path "[^"]+" \{.*?\n\}\n`).FindAllString(policy, -1)
	quoted := regexp.MustCompile(`"[a-z]+"(, )?`)
	for _, stanza := range stanzas {
		lesser = append(lesser, strings.Replace(policy, stanza, "", 1))
		head, list, _ := strings.Cut(stanza, "[")
		found := quoted.FindAllString(list, -1)
		for _, capability := range found {
			rest := strings.Replace(list, capability, "", 1)
			rest = strings.Replace(rest, ", ]", "]", 1)
			lesser = append(lesser, strings.Replace(policy, stanza, head+"["+rest, 1))
		}
	}
	if len(stanzas) != rules || len(lesser) != len(stanzas)+capabilities {
		t.Fatalf("%d stanzas and %d lesser policies in\n%s", len(stanzas), len(lesser), policy)
	}
	return lesser
}

func TestPolicyLetsATokenCareForItself(t *testing.T) {
	f := newFixture(t).withTenant(t, map[string]any{"v": "1"})
	auth := f.appRole(t, nil)

	must(t, work(t.Context(), f.config, auth))

	for _, path := range []string{renewOf, revokeOf} {
		if n := f.proxy.Count("PUT", path); n != 1 {
			t.Errorf("%d requests to %s, want 1", n, path)
		}
	}
	secret, err := f.root.Logical().ListWithContext(t.Context(), "auth/token/accessors")
	must(t, err)
	if n := len(secret.Data["keys"].([]any)); n != 1 {
		t.Errorf("%d tokens are left, want the root token alone", n)
	}
}

func TestPolicyFollowsTheLayout(t *testing.T) {
	f := newFixture(t)
	f.config.Mount, f.config.Prefix, f.config.Leaf = "kv/team", "a/b", "x/y"
	f.config.Transit = vault.Transit{Mount: "t/u", Key: "k"}
	policy, err := vault.Policy(f.config)
	must(t, err)

	for _, path := range []string{"kv/team/metadata/a/b/", "kv/team/data/a/b/+/x/y", "t/u/export/encryption-key/k"} {
		if !strings.Contains(policy, fmt.Sprintf("path %q {", path)) {
			t.Errorf("no rule for %s in\n%s", path, policy)
		}
	}
	must(t, f.root.Sys().MountWithContext(t.Context(), "kv/team", &api.MountInput{Type: "kv", Options: map[string]string{"version": "2"}}))
	must(t, f.root.Sys().MountWithContext(t.Context(), "t/u", &api.MountInput{Type: "transit"}))
	f.write(t, "t/u/keys/k", map[string]any{"exportable": true})
	f.await(t, "kv/team/config")
	f.write(t, "kv/team/data/a/b/"+string(tenant)+"/x/y", map[string]any{"data": map[string]any{"v": "1"}})
	must(t, work(t.Context(), f.config, f.appRole(t, nil)))
}

func TestPolicyRefusesPathsThatMeanSomethingElse(t *testing.T) {
	f := newFixture(t)
	for _, prefix := range []string{"", "a//b", "/a", "a/", "..", "a/../b", "*", "a+", `a"b`, "a b", "a\nb", "{{identity.entity.id}}", "a%2fb", "a?b", "ä"} {
		config := f.config
		config.Prefix = prefix
		if policy, err := vault.Policy(config); err == nil {
			t.Errorf("prefix %q gives\n%s", prefix, policy)
		}
		config = f.config
		config.Transit.Key = prefix
		if policy, err := vault.Policy(config); err == nil {
			t.Errorf("key %q gives\n%s", prefix, policy)
		}
	}
}
