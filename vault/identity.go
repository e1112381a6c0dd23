package vault

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/hashicorp/vault/api"

	"mailu-rotator/rotator"
)

// CheckLogin logs in as [Open] does, without the check of the mount, and reports the
// token's properties. The client is nil if the login failed; otherwise the caller must
// close it.
func CheckLogin(ctx context.Context, cfg Config, login *Login) (*Client, rotator.Check) {
	const name = "login"
	c, err := openUnchecked(ctx, cfg, login)
	if err != nil {
		return nil, rotator.Broken(name, err.Error(), login.fix(err))
	}
	self, err := c.lookUp(ctx)
	if err != nil {
		return c, rotator.Warned(name, fmt.Sprintf("by %s, but the token cannot look itself up: %v", login.auth.Method, oneLine(err)),
			"give the token Vault's default policy; where it has that, see whether its token_bound_cidrs leave out this host")
	}
	found := fmt.Sprintf("by %s: %s, policies %s", login.auth.Method, self.life(), strings.Join(self.policies, ", "))
	if slices.Contains(self.policies, "root") {
		return c, rotator.Warned(name, found+": it may do everything", login.fix(nil))
	}
	if how := self.fades(login); how != "" {
		return c, rotator.Warned(name, found+": "+how, login.fix(nil))
	}
	return c, rotator.Passed(name, found)
}

// identity holds a token's own properties.
type identity struct {
	policies  []string
	ttl       time.Duration // 0: it does not expire
	renewable bool
	periodic  bool      // each renewal restores its full period, without the limit of max_lease_ttl
	uses      int       // requests until it becomes invalid; 0: no limit
	created   time.Time // by Vault's clock; zero: unknown
	latest    time.Time // no renewal extends beyond it (explicit_max_ttl, also for periodic tokens); zero: no limit
}

func (c *Client) lookUp(ctx context.Context) (identity, error) {
	var secret *api.Secret
	err := c.do(ctx, call{
		verb: "look up", path: "auth/token/lookup-self",
		rule: "auth/token/lookup-self", capability: "read",
	}, func(ctx context.Context, client *api.Client) (err error) {
		secret, err = client.Auth().Token().LookupSelfWithContext(ctx)
		return err
	})
	if err != nil {
		return identity{}, err
	}
	return identityOf(secret)
}

// identityOf reads the answer to a token's lookup of itself. Only the ttl must be there:
// other fields that are missing or malformed mean no limit.
func identityOf(secret *api.Secret) (self identity, err error) {
	if secret == nil || secret.Data == nil {
		return self, errors.New("vault's answer is empty")
	}
	number := func(field string) (n int, ok bool) {
		text, _ := secret.Data[field].(json.Number)
		count, err := text.Int64()
		if err != nil || count < 0 || count > maxSeconds {
			return 0, false
		}
		return int(count), true
	}
	ttl, ok := number("ttl")
	if !ok {
		return self, errors.New("ttl: not a number, or out of range")
	}
	if self.policies, err = secret.TokenPolicies(); err != nil {
		return self, errors.New("policies: not a list of names")
	}
	self.ttl = lifetime(ttl)
	self.renewable, _ = secret.Data["renewable"].(bool)
	self.uses, _ = number("num_uses")
	period, _ := number("period")
	self.periodic = period > 0
	if created, _ := number("creation_time"); created > 0 {
		self.created = time.Unix(int64(created), 0).UTC()
		if longest, _ := number("explicit_max_ttl"); longest > 0 {
			self.latest = self.created.Add(lifetime(longest))
		}
	}
	return self, nil
}

func (i identity) life() string {
	ttl := i.ttl
	if ttl > 10*time.Minute {
		ttl = ttl.Round(time.Minute) // a second of it has already passed
	}
	switch {
	case i.ttl == 0:
		return "a token that does not expire"
	case i.renewable && !i.latest.IsZero():
		return fmt.Sprintf("a token for %s, renewable until %s (explicit_max_ttl)", ttl, i.latest.Format(time.RFC3339))
	case i.renewable:
		return fmt.Sprintf("a token for %s, renewable", ttl)
	}
	return fmt.Sprintf("a token for %s, not renewable", ttl)
}

// fades says when the token ends for good, if no login can make another; empty if it
// does not end.
func (i identity) fades(login *Login) string {
	switch {
	case login.auth.Method != MethodToken || i.ttl == 0:
		return ""
	case !i.renewable || !i.latest.IsZero():
		return "nothing will replace it"
	case !i.periodic && !i.created.IsZero():
		return fmt.Sprintf("it has no period, so no renewal goes beyond Vault's max_lease_ttl (32 days unless it was tuned) from %s on, and nothing will replace it",
			i.created.Format(time.DateOnly))
	}
	return ""
}

// fix returns the command that gives the method what it needs to log in, unless the
// login did not reach Vault. The role's name is unknown here; the README's example name
// stands in for it.
func (l *Login) fix(err error) string {
	auth := l.auth
	if err != nil {
		if fix := fixOf(err); fix != "" {
			return fix
		}
		if limit, ok := errors.AsType[*usesError](err); ok {
			return limit.fix
		}
		if says(err, "CIDR") {
			return "add this host's address to secret_id_bound_cidrs and token_bound_cidrs of the role, or to those of the secret-id"
		}
	}
	if statusOf(err) == 404 {
		return fmt.Sprintf("vault auth enable -path=%s %s", auth.Mount, auth.Method)
	}
	const newToken = "vault token create -policy=mailu-rotator -period=24h -field=token" // a periodic token can be renewed forever
	switch auth.Method {
	case MethodTokenFile:
		return newToken + " >" + auth.TokenFile
	case MethodAppRole:
		field := "-field=secret_id"
		if auth.SecretIDWrapped {
			field = "-field=wrapping_token -wrap-ttl=10m"
		}
		return fmt.Sprintf("vault write -f %s auth/%s/role/mailu-rotator/secret-id >%s", field, auth.Mount, auth.SecretIDFile)
	case MethodKubernetes:
		return fmt.Sprintf("vault read auth/%s/role/%s", auth.Mount, auth.Role)
	case MethodCert:
		return fmt.Sprintf("vault list auth/%s/certs", auth.Mount)
	}
	return "export VAULT_TOKEN=$(" + newToken + ")"
}
