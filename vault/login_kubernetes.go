package vault

import (
	"context"
	"fmt"

	"github.com/hashicorp/vault/api"
)

// kubernetes logs in with a service account's token, which the kubelet renews in its
// file about every hour.
type kubernetes struct{ auth Auth }

func (k *kubernetes) authenticate(ctx context.Context, client *api.Client) (grant, error) {
	jwt, err := readTrimmed(k.auth.ReadJWT, k.auth.JWTFile)
	if err != nil {
		return grant{}, fmt.Errorf("service account token: %w", err)
	}
	defer jwt.Wipe()
	return postLogin(ctx, client, k.auth.Mount, map[string]any{
		"role": k.auth.Role,
		"jwt":  jwt.RevealString(),
	})
}

func (k *kubernetes) wipe() {}
