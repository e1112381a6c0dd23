package vault

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

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
	self, err := ask[identity](ctx, c, call{verb: "look up", path: lookupSelf, rule: lookupSelf, capability: "read"}, lookupSelf, nil)
	if err == nil && !self.valid() {
		err = errors.New("vault's answer has no ttl")
	}
	if err != nil {
		return c, rotator.Warned(name, fmt.Sprintf("by %s, but the token cannot look itself up: %v", login.auth.Method, oneLine(err)),
			"give the token Vault's default policy; where it has that, see whether its token_bound_cidrs leave out this host")
	}
	policies := slices.Concat(self.Policies, self.IdentityPolicies)
	found := fmt.Sprintf("by %s: %s, policies %s", login.auth.Method, self.life(), strings.Join(policies, ", "))
	if slices.Contains(policies, "root") {
		return c, rotator.Warned(name, found+": it may do everything", login.fix(nil))
	}
	if how := self.fades(login); how != "" {
		return c, rotator.Warned(name, found+": "+how, login.fix(nil))
	}
	return c, rotator.Passed(name, found)
}

// identity is a token's own properties, as the answer to its lookup has them. Times are
// in seconds; without a field there is no such limit.
type identity struct {
	Policies         []string
	IdentityPolicies []string `json:"identity_policies"`
	TTL              *int     // 0: it does not expire
	Renewable        bool
	Period           int   // each renewal restores it in full, without the limit of max_lease_ttl
	NumUses          int   `json:"num_uses"`         // requests until it becomes invalid
	CreationTime     int64 `json:"creation_time"`    // by Vault's clock
	ExplicitMaxTTL   int   `json:"explicit_max_ttl"` // no renewal extends beyond it, also of periodic tokens
}

const lookupSelf = "auth/token/lookup-self"

func (i *identity) valid() bool { return i != nil && i.TTL != nil && *i.TTL >= 0 }

func (i *identity) ttl() time.Duration { return lifetime(*i.TTL) }

func (i *identity) created() time.Time { return time.Unix(i.CreationTime, 0).UTC() }

func (i *identity) life() string {
	ttl := i.ttl()
	if ttl > 10*time.Minute {
		ttl = ttl.Round(time.Minute) // a second of it has already passed
	}
	switch {
	case ttl == 0:
		return "a token that does not expire"
	case i.Renewable && i.ExplicitMaxTTL > 0:
		latest := i.created().Add(lifetime(i.ExplicitMaxTTL))
		return fmt.Sprintf("a token for %s, renewable until %s (explicit_max_ttl)", ttl, latest.Format(time.RFC3339))
	case i.Renewable:
		return fmt.Sprintf("a token for %s, renewable", ttl)
	}
	return fmt.Sprintf("a token for %s, not renewable", ttl)
}

// fades says when the token ends for good, if no login can make another; empty if it
// does not end.
func (i *identity) fades(login *Login) string {
	switch {
	case login.auth.Method != MethodToken || i.ttl() == 0:
		return ""
	case !i.Renewable || i.ExplicitMaxTTL > 0:
		return "nothing will replace it"
	case i.Period == 0:
		return fmt.Sprintf("it has no period, so no renewal goes beyond Vault's max_lease_ttl (32 days unless it was tuned) from %s on, and nothing will replace it",
			i.created().Format(time.DateOnly))
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
