package monitor

import (
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	"mailu-rotator/rotator"
)

// OutcomesPath is where a daemon serves its last results per tenant.
const OutcomesPath = "/outcomes"

// Outcomes is the JSON document at that path.
type Outcomes struct {
	Tenants []TenantOutcome `json:"tenants"` // that any run has processed
}

// TenantOutcome is the result of the daemon's last run for a tenant. The record in
// Vault does not show a failure that left no trace.
type TenantOutcome struct {
	Tenant  string          `json:"tenant"`
	Outcome rotator.Outcome `json:"outcome"`
	At      time.Time       `json:"at"`
	Reason  string          `json:"reason,omitempty"`
}

func (s *Server) outcomes(w http.ResponseWriter, _ *http.Request) {
	doc := Outcomes{Tenants: []TenantOutcome{}}
	for e := range s.Cache.Tenants() {
		if e.Outcome != "" {
			doc.Tenants = append(doc.Tenants, TenantOutcome{Tenant: e.Tenant, Outcome: e.Outcome, At: e.At, Reason: e.Reason})
		}
	}
	w.Header().Set("Content-Type", "application/json")
	if err := json.NewEncoder(w).Encode(doc); err != nil {
		s.ErrorLog(fmt.Errorf("tell the outcomes: %w", err))
	}
}
