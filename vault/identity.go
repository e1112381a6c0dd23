package vault

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/hashicorp/vault/api"

	"mailu-rotator/rotator"
)

// CheckLogin logs in as [Open] does, without its look at the mount, and tells
// what the token is worth. The client is nil where the login failed; otherwise
// the caller closes it.
func CheckLogin(ctx context.Context, cfg Config, login *Login) (*Client, rotator.Check) {
	const name = "login"
	c, err := openUnchecked(ctx, cfg, login)
	if err != nil {
		return nil, rotator.Broken(name, err.Error(), login.mend(err))
	}
	self, err := c.lookUp(ctx)
	if err != nil {
		return c, rotator.Warned(name, fmt.Sprintf("by %s, but the token cannot look itself up: %v", login.auth.Method, oneLine(err)),
			"give the token Vault's default policy; where it has that, see whether its token_bound_cidrs leave out this host")
	}
	found := fmt.Sprintf("by %s: %s, policies %s", login.auth.Method, self.life(), strings.Join(self.policies, ", "))
	switch {
	case slices.Contains(self.policies, "root"):
		return c, rotator.Warned(name, found+": it may do everything", login.mend(nil))
	case self.fades(login):
		return c, rotator.Warned(name, found+": nothing will replace it", login.mend(nil))
	}
	return c, rotator.Passed(name, found)
}

// identity is what a token says of itself.
type identity struct {
	policies  []string
	ttl       time.Duration // 0: it does not expire
	renewable bool
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
	var self identity
	if self.policies, err = secret.TokenPolicies(); err != nil {
		return identity{}, err
	}
	if self.ttl, err = secret.TokenTTL(); err != nil {
		return identity{}, err
	}
	self.renewable, err = secret.TokenIsRenewable()
	return self, err
}

func (i identity) life() string {
	ttl := i.ttl
	if ttl > 10*time.Minute {
		ttl = ttl.Round(time.Minute) // a second of it has passed already
	}
	switch {
	case i.ttl == 0:
		return "a token that does not expire"
	case i.renewable:
		return fmt.Sprintf("a token for %s, renewable", ttl)
	}
	return fmt.Sprintf("a token for %s, not renewable", ttl)
}

// fades reports whether the token ends and no login can make another.
func (i identity) fades(login *Login) bool {
	return login.auth.Method == MethodToken && i.ttl > 0 && !i.renewable
}

// mend is the command that gives the method what it needs to log in, unless the
// login did not get as far as Vault. The role's name is not known here; the one of
// the README stands in for it.
func (l *Login) mend(err error) string {
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
	const newToken = "vault token create -policy=mailu-rotator -field=token"
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
