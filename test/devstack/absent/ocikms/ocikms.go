// Package ocikms stands in for the ocikms auto-unseal of Vault, whose cloud SDK
// the test server would only compile. Configuring it fails with an error.
package ocikms

import (
	"context"
	"errors"

	wrapping "github.com/hashicorp/go-kms-wrapping/v2"
)

// Names of settings that Vault's configuration refers to.
const (
	EnvOciKmsWrapperCryptoEndpoint       = "OCIKMS_WRAPPER_CRYPTO_ENDPOINT"
	EnvOciKmsWrapperKeyId                = "OCIKMS_WRAPPER_KEY_ID"
	EnvOciKmsWrapperManagementEndpoint   = "OCIKMS_WRAPPER_MANAGEMENT_ENDPOINT"
	EnvVaultOciKmsSealCryptoEndpoint     = "VAULT_OCIKMS_CRYPTO_ENDPOINT"
	EnvVaultOciKmsSealKeyId              = "VAULT_OCIKMS_SEAL_KEY_ID"
	EnvVaultOciKmsSealManagementEndpoint = "VAULT_OCIKMS_MANAGEMENT_ENDPOINT"
	KmsConfigCryptoEndpoint              = "crypto_endpoint"
	KmsConfigKeyId                       = "key_id"
	KmsConfigManagementEndpoint          = "management_endpoint"
)

// Wrapper refuses to be configured; its embedded interface stays nil.
type Wrapper struct{ wrapping.Wrapper }

// NewWrapper returns a wrapper that refuses to be configured.
func NewWrapper() *Wrapper { return &Wrapper{} }

// SetConfig always fails.
func (*Wrapper) SetConfig(context.Context, ...wrapping.Option) (*wrapping.WrapperConfig, error) {
	return nil, errors.New("ocikms auto-unseal is not compiled into this test server: use a released vault")
}
