package monitor

import (
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	"mailu-rotator/rotator"
)

// OutcomesPath is where a daemon tells what it remembers of its tenants.
const OutcomesPath = "/outcomes"

// Outcomes is the document there.
type Outcomes struct {
	Tenants []TenantOutcome `json:"tenants"` // those that a run has had anything to do with
}

// TenantOutcome is what the last run of the daemon did with a tenant. The record
// in Vault does not show a failure that left nothing behind.
type TenantOutcome struct {
	Tenant  string          `json:"tenant"`
	Outcome rotator.Outcome `json:"outcome"`
	At      time.Time       `json:"at"`
	Reason  string          `json:"reason,omitempty"`
}

func (s *Server) outcomes(w http.ResponseWriter, _ *http.Request) {
	doc := Outcomes{Tenants: []TenantOutcome{}}
	for e := range s.Board.Tenants() {
		if e.Outcome != "" {
			doc.Tenants = append(doc.Tenants, TenantOutcome{Tenant: e.Tenant, Outcome: e.Outcome, At: e.At, Reason: e.Reason})
		}
	}
	w.Header().Set("Content-Type", "application/json")
	if err := json.NewEncoder(w).Encode(doc); err != nil {
		s.Complain(fmt.Errorf("tell the outcomes: %w", err))
	}
}
