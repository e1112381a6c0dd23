package vault

import (
	"context"
	"crypto/tls"
	"fmt"
	"os"

	"github.com/hashicorp/vault/api"
)

// certificate logs in by the TLS client certificate that the connection
// presents.
type certificate struct{ auth Auth }

func (c *certificate) authenticate(ctx context.Context, client *api.Client) (grant, error) {
	return postLogin(ctx, client, c.auth.Mount, map[string]any{"name": c.auth.Role})
}

func (c *certificate) wipe() {}

// load reads both files again: certificates are renewed under a running daemon.
func (c *certificate) load() (*tls.Certificate, error) {
	chain, err := os.ReadFile(c.auth.CertFile)
	if err != nil {
		return nil, fmt.Errorf("client certificate: %w", err)
	}
	key, err := c.auth.ReadSecret(c.auth.KeyFile)
	if err != nil {
		return nil, fmt.Errorf("client certificate's key: %w", err)
	}
	defer key.Wipe()
	pair, err := tls.X509KeyPair(chain, key.Reveal())
	if err != nil {
		return nil, fmt.Errorf("client certificate %s with key %s: %w", c.auth.CertFile, c.auth.KeyFile, err)
	}
	return &pair, nil
}
