package vault

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"sync"

	"github.com/hashicorp/vault/api"

	"mailu-rotator/crypto"
)

// errIntercepted is returned for a wrapping token that was already used.
var errIntercepted = errors.New("the wrapping token was used before, or has expired: if no earlier start of this program used it, somebody else has the secret-id now; destroy that secret-id and deliver a new wrapped one")

// appRole logs in by role-id and secret-id.
type appRole struct {
	auth Auth

	mu        sync.Mutex    // one unwrapping at a time; guards the fields below
	unwrapped crypto.Secret // the wrapping token of secretID
	secretID  crypto.Secret
}

func (a *appRole) authenticate(ctx context.Context, client *api.Client) (grant, error) {
	roleID, err := readTrimmed(a.auth.ReadSecret, a.auth.RoleIDFile)
	if err != nil {
		return grant{}, fmt.Errorf("role-id: %w", err)
	}
	defer roleID.Wipe()
	secretID, err := a.currentSecretID(ctx, client)
	if err != nil {
		return grant{}, fmt.Errorf("secret-id: %w", err)
	}
	defer secretID.Wipe()
	return postLogin(ctx, client, a.auth.Mount, map[string]any{
		"role_id":   roleID.RevealString(),
		"secret_id": secretID.RevealString(),
	})
}

// currentSecretID returns a copy; the caller must wipe it.
func (a *appRole) currentSecretID(ctx context.Context, client *api.Client) (crypto.Secret, error) {
	content, err := readTrimmed(a.auth.ReadSecret, a.auth.SecretIDFile)
	if err == nil && !a.auth.SecretIDWrapped {
		return content, nil
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	switch {
	case errors.Is(err, fs.ErrNotExist) && !a.secretID.Empty():
		// A wrapping token is often removed after use.
	case err != nil:
		return crypto.Secret{}, err
	case !content.Equal(a.unwrapped):
		if err := a.unwrap(ctx, client, content); err != nil {
			return crypto.Secret{}, err
		}
	}
	return crypto.SecretFromString(a.secretID.RevealString()), nil
}

// unwrap first checks the creation path of the wrapped answer: an attacker who
// intercepts a wrapping token can replace it, but not with one of this path.
func (a *appRole) unwrap(ctx context.Context, client *api.Client, wrapping crypto.Secret) error {
	token := map[string]any{"token": wrapping.RevealString()}
	info, err := client.Logical().WriteWithContext(ctx, "sys/wrapping/lookup", token)
	if err != nil {
		return unwrapError(err)
	}
	var origin string
	if info != nil {
		origin, _ = info.Data["creation_path"].(string)
	}
	if !strings.HasPrefix(origin, "auth/"+a.auth.Mount+"/role/") || !strings.HasSuffix(origin, "secret-id") {
		return fmt.Errorf("the wrapping token was made by %q and not by auth/%s/role/<role>/secret-id: treat it as forged", origin, a.auth.Mount)
	}
	secret, err := client.Logical().UnwrapWithContext(ctx, wrapping.RevealString())
	client.ClearToken() // unwrapping leaves the wrapping token in the client
	if err != nil {
		return unwrapError(err)
	}
	var id string
	if secret != nil {
		id, _ = secret.Data["secret_id"].(string)
	}
	if id == "" {
		return errors.New("the wrapped answer holds no secret_id")
	}
	a.secretID.Wipe()
	a.unwrapped, a.secretID = wrapping, crypto.SecretFromString(id)
	return nil
}

func unwrapError(err error) error {
	if says(err, "wrapping token is not valid or does not exist") || statusOf(err) == 403 {
		return fmt.Errorf("%w (%w)", errIntercepted, oneLine(err))
	}
	return fmt.Errorf("unwrap: %w", oneLine(err))
}

func (a *appRole) wipe() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.unwrapped.Wipe()
	a.secretID.Wipe()
}
