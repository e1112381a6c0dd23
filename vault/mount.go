package vault

import (
	"context"
	"fmt"

	"github.com/hashicorp/vault/api"
)

// checkMount verifies that the mount is KV version 2. Any policy that covers something
// in the mount allows this request.
func (c *Client) checkMount(ctx context.Context) error {
	mount := c.cfg.Mount
	var secret *api.Secret
	err := c.do(ctx, call{
		verb: "look at the mount of", path: mount,
		rule: listRule(c.cfg), capability: "list",
	}, func(ctx context.Context, client *api.Client) (err error) {
		secret, err = client.Logical().ReadWithContext(ctx, "sys/internal/ui/mounts/"+mount)
		return err
	})
	if statusOf(err) == 403 || (err == nil && secret == nil) {
		return &mountError{
			found: fmt.Sprintf("there is no mount %s/, or the policy grants nothing in it (vault does not tell which)", mount),
			fix:   fmt.Sprintf("vault secrets enable -path=%s -version=2 kv", mount),
			cause: orNotFound(err),
		}
	}
	if err != nil {
		return err
	}
	kind, _ := secret.Data["type"].(string)
	path, _ := secret.Data["path"].(string)
	options, _ := secret.Data["options"].(map[string]any)
	switch {
	case path != mount+"/":
		return &mountError{
			found:  fmt.Sprintf("mount %s/ lies inside the mount %s", mount, path),
			advice: "set mount to that and put the rest in front of prefix",
		}
	case kind != "kv" && kind != "generic":
		return &mountError{
			found: fmt.Sprintf("mount %s/ is of type %q, not kv", mount, kind),
			fix:   "vault secrets list",
		}
	case options["version"] != "2":
		upgrade := "vault kv enable-versioning " + mount
		return &mountError{
			found:  fmt.Sprintf("mount %s/ is KV version 1, which has no check-and-set", mount),
			advice: "upgrade it with `" + upgrade + "`",
			fix:    upgrade,
		}
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

func orNotFound(err error) error {
	if err != nil {
		return err
	}
	return fmt.Errorf("vault answered 404")
}
