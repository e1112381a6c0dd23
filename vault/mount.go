package vault

import (
	"context"
	"fmt"

	"github.com/hashicorp/vault/api"
)

// checkMount makes sure that records can be what this package takes them for.
// Any policy that covers something in the mount may ask this.
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
		return fmt.Errorf("there is no mount %s/, or the policy grants nothing in it (vault does not tell which): %w", mount, orNotFound(err))
	}
	if err != nil {
		return err
	}
	kind, _ := secret.Data["type"].(string)
	path, _ := secret.Data["path"].(string)
	options, _ := secret.Data["options"].(map[string]any)
	switch {
	case path != mount+"/":
		return fmt.Errorf("mount %s/ lies inside the mount %s: set mount to that and put the rest in front of prefix", mount, path)
	case kind != "kv" && kind != "generic":
		return fmt.Errorf("mount %s/ is of type %q, not kv", mount, kind)
	case options["version"] != "2":
		return fmt.Errorf("mount %s/ is KV version 1, which has no check-and-set: upgrade it with `vault kv enable-versioning %s`", mount, mount)
	}
	return nil
}

func orNotFound(err error) error {
	if err != nil {
		return err
	}
	return fmt.Errorf("vault answered 404")
}
