package vault

import (
	"cmp"
	"context"
	"errors"
	"fmt"

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
