package vault

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"

	"github.com/hashicorp/vault/api"
)

// errNotHealth is a successful answer that is not Vault's: a load balancer's own health
// page, another service's JSON.
var errNotHealth = errors.New("sys/health answered something else than Vault's health: vault.address is not Vault's, or a proxy answers in its place")

// stateCodes asks Vault not to encode states in the status, see [describeStatus]. A
// Vault that does not know one of them, or a proxy, may still do so.
var stateCodes = []string{"uninitcode", "sealedcode", "standbycode", "drsecondarycode", "performancestandbycode", "removedcode", "haunhealthycode"}

// askHealth needs no token. Any node answers, including sealed and standby ones.
func askHealth(ctx context.Context, client *api.Client) (*api.HealthResponse, error) {
	query := url.Values{}
	for _, code := range stateCodes {
		query.Set(code, "299")
	}
	resp, err := client.Logical().ReadRawWithDataWithContext(ctx, "sys/health", query)
	if resp == nil {
		return nil, oneLine(err)
	}
	defer resp.Body.Close()
	var body bytes.Buffer
	if _, readErr := body.ReadFrom(resp.Body); readErr != nil {
		return nil, fmt.Errorf("read the answer of sys/health: %w", readErr)
	}
	var said struct{ Initialized, Sealed *bool } // these decide the operator's next action: never guess them
	var health api.HealthResponse
	decodeErr := errors.Join(json.Unmarshal(body.Bytes(), &said), json.Unmarshal(body.Bytes(), &health))
	switch {
	case decodeErr == nil && said.Initialized != nil && said.Sealed != nil:
		return &health, nil // with any status
	case err != nil:
		return nil, oneLine(err)
	}
	return nil, errNotHealth
}
