// Package awskms stands in for the awskms auto-unseal of Vault, whose cloud SDK
// the test server would only compile. Configuring it fails with an error.
package awskms

import (
	"context"
	"errors"

	wrapping "github.com/hashicorp/go-kms-wrapping/v2"
)

// Names of settings that Vault's configuration refers to.
const (
	EnvAwsKmsWrapperKeyId   = "AWSKMS_WRAPPER_KEY_ID"
	EnvVaultAwsKmsSealKeyId = "VAULT_AWSKMS_SEAL_KEY_ID"
)

// Wrapper refuses to be configured; its embedded interface stays nil.
type Wrapper struct{ wrapping.Wrapper }

// NewWrapper returns a wrapper that refuses to be configured.
func NewWrapper() *Wrapper { return &Wrapper{} }

// SetConfig always fails.
func (*Wrapper) SetConfig(context.Context, ...wrapping.Option) (*wrapping.WrapperConfig, error) {
	return nil, errors.New("awskms auto-unseal is not compiled into this test server: use a released vault")
}

// WithDisallowEnvVars has no effect.
func WithDisallowEnvVars(bool) wrapping.Option { return func() any { return nil } }

// WithLogger has no effect; Vault passes it to its Shamir seal, which ignores
// options that are not its own.
func WithLogger(any) wrapping.Option { return func() any { return nil } }
