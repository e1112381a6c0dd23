package vault

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"sync"

	"github.com/hashicorp/vault/api"

	"mailu-rotator/crypto"
)

// errIntercepted is returned for a wrapping token that was already used.
var errIntercepted = errors.New("the wrapping token was used before, or has expired: if no earlier start of this program used it, somebody else has the secret-id now; destroy that secret-id and deliver a new wrapped one")

// appRole logs in by role-id and secret-id.
type appRole struct {
	Auth

	mu        sync.Mutex    // one unwrapping at a time; guards the fields below
	unwrapped crypto.Secret // the wrapping token of secretID
	secretID  crypto.Secret // kept for the process's life: it can be unwrapped only once
}

func (a *appRole) authenticate(ctx context.Context, client *api.Client) (loginToken, error) {
	roleID, err := readTrimmed(a.ReadSecret, a.RoleIDFile)
	if err != nil {
		return loginToken{}, fmt.Errorf("role-id: %w", err)
	}
	defer roleID.Wipe()
	secretID, err := a.currentSecretID(ctx, client)
	if err != nil {
		return loginToken{}, fmt.Errorf("secret-id: %w", err)
	}
	defer secretID.Wipe()
	return postLogin(ctx, client, a.Mount, map[string]string{
		"role_id":   roleID.RevealString(),
		"secret_id": secretID.RevealString(),
	})
}

// currentSecretID returns a copy; the caller must wipe it.
func (a *appRole) currentSecretID(ctx context.Context, client *api.Client) (crypto.Secret, error) {
	content, err := readTrimmed(a.ReadSecret, a.SecretIDFile)
	if err == nil && !a.SecretIDWrapped {
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
	origin := textOf(info, "creation_path")
	if !strings.HasPrefix(origin, "auth/"+a.Mount+"/role/") || !strings.HasSuffix(origin, "secret-id") {
		return fmt.Errorf("the wrapping token was made by %q and not by auth/%s/role/<role>/secret-id: treat it as forged", origin, a.Mount)
	}
	secret, err := client.Logical().UnwrapWithContext(ctx, wrapping.RevealString())
	client.ClearToken() // unwrapping leaves the wrapping token in the client
	if err != nil {
		return unwrapError(err)
	}
	id := textOf(secret, "secret_id")
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

// byToken takes a token that was obtained elsewhere, as a value or in a file. This
// package never revokes it.
func (a Auth) byToken(ctx context.Context, client *api.Client) (loginToken, error) {
	var token crypto.Secret
	var err error
	var advice string
	if a.Method == MethodTokenFile {
		token, err = readTrimmed(a.ReadSecret, a.TokenFile)
		advice = fmt.Sprintf("the token in %s is revoked, expired, or lacks the default policy: is the agent that writes it running?", a.TokenFile)
	} else {
		token, err = trimmed("the token", a.Token.Reveal()) // a copy: the session wipes it
		advice = "the token is revoked, expired, or lacks the default policy, and method token has no way to get another: put a new one into VAULT_TOKEN, or use another method"
	}
	if err != nil {
		return loginToken{}, err
	}
	client.SetToken(token.RevealString())
	defer client.ClearToken()
	body, err := readBody(client.Logical().ReadRawWithContext(ctx, lookupSelf))
	defer clear(body)
	if statusOf(err) == 403 {
		return loginToken{}, fmt.Errorf("%s; %w", advice, oneLine(err))
	}
	if err != nil {
		return loginToken{}, fmt.Errorf("look up the token: %w", oneLine(err))
	}
	var answer struct{ Data *identity }
	if json.Unmarshal(body, &answer) != nil || !answer.Data.valid() { // the decoder's error may quote it
		return loginToken{}, errors.New("look up the token: vault's answer is not that to a lookup")
	}
	self := answer.Data
	return loginToken{secret: token, ttl: self.ttl(), renewable: self.Renewable, uses: self.NumUses}, nil
}

// byKubernetes uses a service account's token, which the kubelet renews in its file
// about every hour.
func (a Auth) byKubernetes(ctx context.Context, client *api.Client) (loginToken, error) {
	jwt, err := readTrimmed(a.ReadJWT, a.JWTFile)
	if err != nil {
		return loginToken{}, fmt.Errorf("service account token: %w", err)
	}
	defer jwt.Wipe()
	return postLogin(ctx, client, a.Mount, map[string]string{
		"role": a.Role,
		"jwt":  jwt.RevealString(),
	})
}

// byCertificate uses the TLS client certificate that the connection presents.
func (a Auth) byCertificate(ctx context.Context, client *api.Client) (loginToken, error) {
	return postLogin(ctx, client, a.Mount, map[string]string{"name": a.Role})
}

// clientCertificate is the certificate of every connection, nil for most methods. It
// reads both files again: certificates are renewed under a running daemon.
func (a Auth) clientCertificate() (*tls.Certificate, error) {
	if a.Method != MethodCert {
		return nil, nil
	}
	chain, err := os.ReadFile(a.CertFile)
	if err != nil {
		return nil, fmt.Errorf("client certificate: %w", err)
	}
	key, err := a.ReadSecret(a.KeyFile)
	if err != nil {
		return nil, fmt.Errorf("client certificate's key: %w", err)
	}
	defer key.Wipe()
	pair, err := tls.X509KeyPair(chain, key.Reveal())
	if err != nil {
		return nil, fmt.Errorf("client certificate %s with key %s: %w", a.CertFile, a.KeyFile, err)
	}
	return &pair, nil
}
