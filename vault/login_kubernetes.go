package vault

import (
	"context"
	"fmt"
	"io"
	"os"

	"github.com/hashicorp/vault/api"

	"mailu-rotator/crypto"
)

const maxJWTSize = 64 << 10

// kubernetes logs in by a service account's token, which the kubelet renews in
// its file every hour or so.
type kubernetes struct{ auth Auth }

func (k *kubernetes) authenticate(ctx context.Context, client *api.Client) (grant, error) {
	jwt, err := readJWT(k.auth.JWTFile)
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

func readJWT(path string) (crypto.Secret, error) {
	file, err := os.Open(path)
	if err != nil {
		return crypto.Secret{}, err
	}
	defer file.Close()
	raw, err := io.ReadAll(io.LimitReader(file, maxJWTSize))
	if err != nil {
		return crypto.Secret{}, err
	}
	defer clear(raw)
	return trimmed(path, raw)
}
