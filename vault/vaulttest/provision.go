package vaulttest

import (
	"context"
	"errors"
	"fmt"
	"path"
	"strings"
	"time"

	"github.com/hashicorp/vault/api"
)

// Layout is where the secrets are: a tenant's is at {Prefix}/{tenant}/{Leaf} of the KV
// v2 engine Mount, the master key is TransitKey of TransitMount.
type Layout struct{ Mount, Prefix, Leaf, TransitMount, TransitKey string }

// DefaultLayout is the program's default layout.
func DefaultLayout() Layout {
	return Layout{Mount: "vault", Prefix: "smtp", Leaf: "admin", TransitMount: "transit", TransitKey: "smtp-master"}
}

// Path is a tenant's secret below the mount, as Put and Get take it.
func (l Layout) Path(tenant string) string { return path.Join(l.Prefix, tenant, l.Leaf) }

// Provision prepares the server for a layout: a KV v2 engine, a Transit engine, an
// exportable AES-256 key. Existing ones are kept. The other helpers use the layout
// provisioned last, initially DefaultLayout.
func (s *Server) Provision(ctx context.Context, l Layout) error {
	client, err := s.anyNode()
	if err != nil {
		return err
	}
	kv := &api.MountInput{Type: "kv", Options: map[string]string{"version": "2"}}
	if err := mountOnce(ctx, client, l.Mount, kv); err != nil {
		return err
	}
	if err := awaitKV(ctx, client, l.Mount); err != nil {
		return err
	}
	if err := mountOnce(ctx, client, l.TransitMount, &api.MountInput{Type: "transit"}); err != nil {
		return err
	}
	key := map[string]any{"type": "aes256-gcm96", "exportable": true}
	if _, err := client.Logical().WriteWithContext(ctx, l.TransitMount+"/keys/"+l.TransitKey, key); err != nil {
		return fmt.Errorf("create transit key %s: %w", l.TransitKey, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.layout = l
	return nil
}

// RotateKey adds a version to the master key.
func (s *Server) RotateKey(ctx context.Context) error {
	client, err := s.anyNode()
	if err != nil {
		return err
	}
	l := s.provisioned()
	if _, err := client.Logical().WriteWithContext(ctx, l.TransitMount+"/keys/"+l.TransitKey+"/rotate", nil); err != nil {
		return fmt.Errorf("rotate transit key %s: %w", l.TransitKey, err)
	}
	return nil
}

// Put writes a new version of a secret, whatever the current version is. Like Get it asks
// this node alone.
func (s *Server) Put(ctx context.Context, path string, fields map[string]any) error {
	client, err := s.Client()
	if err != nil {
		return err
	}
	if _, err := client.KVv2(s.provisioned().Mount).Put(ctx, path, fields); err != nil {
		return fmt.Errorf("put %s: %w", path, err)
	}
	return nil
}

// Get reads the current version of a secret. The error wraps api.ErrSecretNotFound if
// it does not exist or is deleted.
func (s *Server) Get(ctx context.Context, path string) (fields map[string]any, version int, err error) {
	client, err := s.Client()
	if err != nil {
		return nil, 0, err
	}
	secret, err := client.KVv2(s.provisioned().Mount).Get(ctx, path)
	if err != nil {
		return nil, 0, fmt.Errorf("get %s: %w", path, err)
	}
	if secret.Data == nil {
		return nil, 0, fmt.Errorf("get %s: current version is deleted: %w", path, api.ErrSecretNotFound)
	}
	return secret.Data, secret.VersionMetadata.Version, nil
}

// Token creates a token with these policies and "default", never a root token.
func (s *Server) Token(ctx context.Context, policies ...string) (string, error) {
	client, err := s.anyNode()
	if err != nil {
		return "", err
	}
	// Without a list the token would inherit the root token's policies.
	request := &api.TokenCreateRequest{Policies: append([]string{"default"}, policies...)}
	secret, err := client.Auth().Token().CreateWithContext(ctx, request)
	if err != nil {
		return "", fmt.Errorf("create a token with policies %v: %w", policies, err)
	}
	return secret.Auth.ClientToken, nil
}

// WritePolicy creates or replaces an ACL policy.
func (s *Server) WritePolicy(ctx context.Context, name, hcl string) error {
	client, err := s.anyNode()
	if err != nil {
		return err
	}
	if err := client.Sys().PutPolicyWithContext(ctx, name, hcl); err != nil {
		return fmt.Errorf("write policy %s: %w", name, err)
	}
	return nil
}

func (s *Server) provisioned() Layout {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.layout
}

func mountOnce(ctx context.Context, client *api.Client, mount string, wanted *api.MountInput) error {
	mounts, err := client.Sys().ListMountsWithContext(ctx)
	if err != nil {
		return fmt.Errorf("list mounts: %w", err)
	}
	there, ok := mounts[strings.Trim(mount, "/")+"/"]
	if !ok {
		if err := client.Sys().MountWithContext(ctx, mount, wanted); err != nil {
			return fmt.Errorf("mount %s at %s: %w", wanted.Type, mount, err)
		}
		return nil
	}
	if there.Type != wanted.Type || there.Options["version"] != wanted.Options["version"] {
		return fmt.Errorf("mount %s: holds another engine (%s, version %q): choose another mount", mount, there.Type, there.Options["version"])
	}
	return nil
}

// awaitKV waits until a new KV v2 engine accepts requests: for a few milliseconds after
// it is mounted it answers 400, "Upgrading from non-versioned".
func awaitKV(ctx context.Context, client *api.Client, mount string) error {
	for {
		_, err := client.Logical().ReadWithContext(ctx, mount+"/config")
		var answer *api.ResponseError
		if err == nil {
			return nil
		}
		if !errors.As(err, &answer) || !strings.Contains(answer.Error(), "Upgrading") {
			return fmt.Errorf("wait for KV engine %s: %w", mount, err)
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait for KV engine %s: %w", mount, ctx.Err())
		case <-time.After(5 * time.Millisecond):
		}
	}
}
