// Package azurekeyvault stands in for the azurekeyvault auto-unseal of Vault, whose cloud SDK
// the test server would only compile. Configuring it fails with an error.
package azurekeyvault

import (
	"context"
	"errors"

	wrapping "github.com/hashicorp/go-kms-wrapping/v2"
)

// Names of settings that Vault's configuration refers to.
const (
	EnvAzureKeyVaultWrapperKeyName   = "AZUREKEYVAULT_WRAPPER_KEY_NAME"
	EnvAzureKeyVaultWrapperVaultName = "AZUREKEYVAULT_WRAPPER_VAULT_NAME"
	EnvVaultAzureKeyVaultKeyName     = "VAULT_AZUREKEYVAULT_KEY_NAME"
	EnvVaultAzureKeyVaultVaultName   = "VAULT_AZUREKEYVAULT_VAULT_NAME"
)

// Wrapper refuses to be configured; its embedded interface stays nil.
type Wrapper struct{ wrapping.Wrapper }

// NewWrapper returns a wrapper that refuses to be configured.
func NewWrapper() *Wrapper { return &Wrapper{} }

// SetConfig always fails.
func (*Wrapper) SetConfig(context.Context, ...wrapping.Option) (*wrapping.WrapperConfig, error) {
	return nil, errors.New("azurekeyvault auto-unseal is not compiled into this test server: use a released vault")
}

// WithDisallowEnvVars has no effect.
func WithDisallowEnvVars(bool) wrapping.Option { return func() any { return nil } }
