// Package okta stands in for Okta's SDK (12 MB of generated code), which Vault
// needs only for Okta multi-factor login. Making a client fails, so the calls
// after it are never reached; they exist for the compiler.
package okta

import (
	"context"
	"errors"
)

// Configuration is never made.
type Configuration struct{ Context context.Context }

// ConfigSetter sets nothing.
type ConfigSetter func(*Configuration)

// WithToken has no effect.
func WithToken(string) ConfigSetter { return nil }

// WithOrgUrl has no effect.
func WithOrgUrl(string) ConfigSetter { return nil }

// WithCache has no effect.
func WithCache(bool) ConfigSetter { return nil }

// NewConfiguration always fails.
func NewConfiguration(...ConfigSetter) (*Configuration, error) { return nil, errAbsent() }

// APIClient reaches nothing.
type APIClient struct {
	UserAPI       Users
	UserFactorAPI Factors
}

// NewAPIClient returns a client that reaches nothing.
func NewAPIClient(c *Configuration) *APIClient { return &APIClient{} }

// GetConfig returns an empty configuration.
func (*APIClient) GetConfig() *Configuration { return &Configuration{} }

// APIResponse is never made.
type APIResponse struct{}

// Users is the user API.
type Users struct{}

// ListUsers starts a call that fails.
func (Users) ListUsers(context.Context) UsersCall { return UsersCall{} }

// UsersCall fails.
type UsersCall struct{}

// Filter has no effect.
func (c UsersCall) Filter(string) UsersCall { return c }

// Execute always fails.
func (UsersCall) Execute() ([]User, *APIResponse, error) { return nil, nil, errAbsent() }

// User is never made.
type User struct{}

// GetId is empty.
func (*User) GetId() string { return "" }

// UserFactorPush is never made.
type UserFactorPush struct{ User }

// Factor is never made.
type Factor struct{ UserFactorPush *UserFactorPush }

// FactorVerification is never made.
type FactorVerification struct{ Links map[string]any }

// GetFactorResult is empty.
func (*FactorVerification) GetFactorResult() string { return "" }

// FactorTransaction is never made.
type FactorTransaction struct {
	UserFactorPushTransactionWaiting  *struct{}
	UserFactorPushTransaction         *struct{}
	UserFactorPushTransactionRejected *struct{}
	UserFactorPushTransactionTimeout  *struct{}
}

// Factors is the factor API.
type Factors struct{}

// ListFactors starts a call that fails.
func (Factors) ListFactors(context.Context, string) Call[[]Factor] { return Call[[]Factor]{} }

// VerifyFactor starts a call that fails.
func (Factors) VerifyFactor(context.Context, string, string) Call[*FactorVerification] {
	return Call[*FactorVerification]{}
}

// GetFactorTransactionStatus starts a call that fails.
func (Factors) GetFactorTransactionStatus(context.Context, string, string, string) Call[*FactorTransaction] {
	return Call[*FactorTransaction]{}
}

// Call fails.
type Call[T any] struct{}

// Execute always fails.
func (Call[T]) Execute() (T, *APIResponse, error) {
	var none T
	return none, nil, errAbsent()
}

func errAbsent() error {
	return errors.New("okta is not compiled into this test server: use a released vault")
}
