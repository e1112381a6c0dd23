// Package alicloudkms stands in for the alicloudkms auto-unseal of Vault, whose cloud SDK
// the test server would only compile. Configuring it fails with an error.
package alicloudkms

import (
	"context"
	"errors"

	wrapping "github.com/hashicorp/go-kms-wrapping/v2"
)

// Names of settings that Vault's configuration refers to.
const (
	EnvAliCloudKmsWrapperKeyId   = "ALICLOUDKMS_WRAPPER_KEY_ID"
	EnvVaultAliCloudKmsSealKeyId = "VAULT_ALICLOUDKMS_SEAL_KEY_ID"
)

// Wrapper refuses to be configured; its embedded interface stays nil.
type Wrapper struct{ wrapping.Wrapper }

// NewWrapper returns a wrapper that refuses to be configured.
func NewWrapper() *Wrapper { return &Wrapper{} }

// SetConfig always fails.
func (*Wrapper) SetConfig(context.Context, ...wrapping.Option) (*wrapping.WrapperConfig, error) {
	return nil, errors.New("alicloudkms auto-unseal is not compiled into this test server: use a released vault")
}
