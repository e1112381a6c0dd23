package vault

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"mailu-rotator/crypto"
	"mailu-rotator/rotator"
)

// Examination tells whether a token can do everything that a run needs.
type Examination struct {
	Checks   []rotator.Check
	Keys     *crypto.Keyring // nil if the master key is not available; the caller must wipe it
	Readable bool            // listing and reading the records can work
}

// Examine checks each capability, the mount and the master key. policyCommand is the
// command that writes the policy of [Policy].
func (c *Client) Examine(ctx context.Context, policyCommand string) Examination {
	list, data, export, known := c.checkCapabilities(ctx, policyCommand)
	var mount, master rotator.Check
	if failed(list) && failed(data) {
		mount = rotator.Skipped("the policy grants nothing in the mount, so Vault does not show it", checkKV)[0]
	} else {
		mount = c.checkedMount(ctx, known)
	}
	var keys *crypto.Keyring
	if failed(export) {
		master = rotator.Skipped("the policy does not let it be exported", checkMaster)[0]
	} else {
		keys, master = c.checkedMasterKey(ctx)
	}
	return Examination{
		Checks:   []rotator.Check{list, data, export, mount, master},
		Keys:     keys,
		Readable: mount.State == rotator.CheckOK && !failed(list),
	}
}

func failed(c rotator.Check) bool { return c.State == rotator.CheckFailed }

const (
	checkKV     = "KV version 2"
	checkMaster = "master key"
)

// checkedMount gives advice on the mount only if Vault answered what the token may do:
// a token that is not allowed to ask is refused whatever the mount is.
func (c *Client) checkedMount(ctx context.Context, known bool) rotator.Check {
	err := c.checkMount(ctx)
	if err == nil {
		return rotator.Passed(checkKV, "mount "+c.cfg.Mount+"/")
	}
	problem, ok := errors.AsType[*mountError](err)
	switch {
	case !ok:
		return rotator.Broken(checkKV, err.Error(), "vault secrets list")
	case !known:
		return rotator.Broken(checkKV, problem.found, "first see what the login says above")
	}
	return rotator.Broken(checkKV, problem.found, cmp.Or(problem.fix, problem.advice))
}

// checkedMasterKey exports the master key and lists its versions.
func (c *Client) checkedMasterKey(ctx context.Context) (*crypto.Keyring, rotator.Check) {
	transit := c.cfg.Transit
	ring, err := c.MasterKeys(ctx)
	if err != nil {
		found, fix := transit.diagnose(err)
		return nil, rotator.Broken(checkMaster, found, fix)
	}
	versions := ring.Versions()
	newest, oldest := versions[0], versions[len(versions)-1]
	found := fmt.Sprintf("%s of %s/: %s, exportable, ", transit.Key, transit.Mount, masterKeyType)
	if newest == oldest {
		found += fmt.Sprintf("version %d", newest)
	} else {
		found += fmt.Sprintf("versions %d to %d", oldest, newest)
	}
	if oldest > 1 {
		found += " (min_decryption_version keeps older ones back)"
	}
	return ring, rotator.Passed(checkMaster, found)
}

// diagnose shortens the errors of [Client.MasterKeys], and returns the fix. The type of
// a key cannot be changed.
func (t Transit) diagnose(err error) (found, fix string) {
	switch {
	case errors.Is(err, ErrNoMasterKey):
		return fmt.Sprintf("%s/ has no key %q, or is no transit engine", t.Mount, t.Key), t.createCommand()
	case errors.Is(err, ErrNotExportable):
		return fmt.Sprintf("key %q of %s/ is not exportable", t.Key, t.Mount), t.exportCommand()
	case errors.Is(err, ErrWrongKeyType):
		other := Transit{Mount: t.Mount, Key: t.Key + "-aes256"}
		return err.Error(), fmt.Sprintf("%s, then set vault.transit.key to %s", other.createCommand(), other.Key)
	}
	return err.Error(), fmt.Sprintf("vault read %s/keys/%s", t.Mount, t.Key)
}

// checkMount verifies that the mount is KV version 2. Any policy that covers something
// in the mount allows this request.
func (c *Client) checkMount(ctx context.Context) error {
	mount := c.cfg.Mount
	found, err := ask[struct {
		Type, Path string
		Options    map[string]string
	}](ctx, c, call{
		verb: "look at the mount of", path: mount,
		rule: listRule(c.cfg), capability: "list",
	}, "sys/internal/ui/mounts/"+mount, nil)
	switch {
	case statusOf(err) == 403, statusOf(err) == 404 && isVaults(err):
		return &mountError{
			found: fmt.Sprintf("there is no mount %s/, or the policy grants nothing in it (vault does not tell which)", mount),
			fix:   fmt.Sprintf("vault secrets enable -path=%s -version=2 kv", mount),
			cause: err,
		}
	case err != nil:
		return err
	case found.Path != mount+"/":
		return &mountError{found: fmt.Sprintf("mount %s/ lies inside the mount %s", mount, found.Path), advice: "set mount to that and put the rest in front of prefix"}
	case found.Type != "kv" && found.Type != "generic":
		return &mountError{found: fmt.Sprintf("mount %s/ is of type %q, not kv", mount, found.Type), fix: "vault secrets list"}
	case found.Options["version"] != "2":
		upgrade := "vault kv enable-versioning " + mount
		return &mountError{found: fmt.Sprintf("mount %s/ is KV version 1, which has no check-and-set", mount), advice: "upgrade it with `" + upgrade + "`", fix: upgrade}
	}
	return nil
}

// mountError says what is wrong with the mount, and separately, for the doctor, how to
// fix it.
type mountError struct {
	found  string
	advice string // the next action, where the error includes it
	fix    string // the command, if there is one
	cause  error  // Vault's answer, if it caused the error
}

func (e *mountError) Error() string {
	text := e.found
	if e.advice != "" {
		text += ": " + e.advice
	}
	if e.cause != nil {
		text += ": " + e.cause.Error()
	}
	return text
}

func (e *mountError) Unwrap() error { return e.cause }

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
