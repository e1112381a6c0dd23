package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/hashicorp/vault/helper/namespace"
	"github.com/hashicorp/vault/sdk/logical"
	"github.com/hashicorp/vault/vault"
)

// initDev sets up the core as `vault server -dev` does: initialised with one key share,
// unsealed, KV v2 at secret/, and the wanted root token if there is one.
func initDev(core *vault.Core, wanted string) (string, error) {
	ctx := namespace.ContextWithNamespace(context.Background(), namespace.RootNamespace)
	made, err := core.Initialize(ctx, &vault.InitParams{
		BarrierConfig: &vault.SealConfig{SecretShares: 1, SecretThreshold: 1, Name: "shamir"},
	})
	if err != nil {
		return "", fmt.Errorf("initialise: %w", err)
	}
	unsealed, err := core.Unseal(made.SecretShares[0])
	if err == nil && !unsealed {
		err = errors.New("still sealed after the only key share")
	}
	if err != nil {
		return "", fmt.Errorf("unseal: %w", err)
	}
	token, err := devToken(ctx, core, made.RootToken, wanted)
	if err != nil {
		return "", err
	}
	return token, request(ctx, core, token, "sys/mounts/secret", map[string]any{
		"type":        "kv",
		"path":        "secret/",
		"description": "key/value secret storage",
		"options":     map[string]string{"version": "2"},
	})
}

// devToken replaces the initial root token by the wanted one.
func devToken(ctx context.Context, core *vault.Core, initial, wanted string) (string, error) {
	if wanted == "" {
		return initial, nil
	}
	err := request(ctx, core, initial, "auth/token/create", map[string]any{
		"id": wanted, "policies": []string{"root"}, "no_parent": true, "no_default_policy": true,
	})
	if err != nil {
		return "", err
	}
	return wanted, request(ctx, core, initial, "auth/token/revoke-self", nil)
}

func request(ctx context.Context, core *vault.Core, token, path string, data map[string]any) error {
	answer, err := core.HandleRequest(ctx, &logical.Request{
		ID: "dev-setup", Operation: logical.UpdateOperation, ClientToken: token, Path: path, Data: data,
	})
	if err != nil {
		return fmt.Errorf("dev set-up, %s: %w", path, err)
	}
	if answer.IsError() {
		return fmt.Errorf("dev set-up, %s: %w", path, answer.Error())
	}
	return nil
}
