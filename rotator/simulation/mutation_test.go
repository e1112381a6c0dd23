package simulation_test

import (
	"context"
	"errors"
	"maps"
	"strings"
	"testing"
	"time"

	"mailu-rotator/crypto"
	"mailu-rotator/rotator"
	"mailu-rotator/rotator/simulation"
)

// A harness that finds nothing proves nothing: each of these breaks the protocol from
// outside, by changing what a process sees of the world. The faults that they need are
// those of the explored scenarios at the bound of `make test`.
func TestSeededBugsAreFound(t *testing.T) {
	tests := []struct {
		name   string
		bug    func(*rotator.Rotator)
		finds  string
		faults int
	}{
		{"prepare is skipped", func(r *rotator.Rotator) { r.Store = &unprepared{Store: r.Store} }, "without a live claim", 0},
		{"commit comes before verify", func(r *rotator.Rotator) { r.Mailu = credulous{r.Mailu} }, "locked out", 1},
		{"claims are ignored", func(r *rotator.Rotator) { r.Store = claimless{r.Store, r.Owner} }, "while it stands", 0},
		{"a new password on retry", func(r *rotator.Rotator) { r.Store = forgetful{r.Store} }, "makes a password although", 1},
		{"writes without check-and-set", func(r *rotator.Rotator) { r.Store = blind{r.Store} }, "second password", 0},
		{"an unclear push is abandoned", func(r *rotator.Rotator) { r.Mailu = hasty{r.Mailu} }, "locked out", 1},
		{"a refusal is believed unasked", func(r *rotator.Rotator) { r.Mailu = trusting{r.Mailu} }, "locked out", 1},
		{"fields of others are dropped", func(r *rotator.Rotator) { r.Store = greedy{r.Store} }, "the field note", 0},
		{"time stands still", func(r *rotator.Rotator) { r.Clock = &stopped{Clock: r.Clock} }, "without a live claim", 1},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			mustBeFound(t, simulation.Scenario{
				Name: test.name, Bug: test.bug, Faults: test.faults,
				Processes: processes(daemon(2), runNow(1)),
			}, test.finds)
		})
	}
}

// Two bugs that show only with two faults, or a stall.
func TestSeededBugsThatNeedTheFullBoundAreFound(t *testing.T) {
	for _, test := range []struct {
		scenario simulation.Scenario
		finds    string
	}{
		{simulation.Scenario{
			Name: "a refusal abandons what another process may have pushed", Bug: func(r *rotator.Rotator) { r.Store = heir{r.Store, r.Owner, r.Clock} },
			Processes: processes(daemon(1), runNow(1)), Stalls: 2, Faults: 1, Only: refusals,
		}, "locked out"},
		{simulation.Scenario{
			Name: "a late commit does not see the pending password of another", Bug: func(r *rotator.Rotator) {
				if r.Owner == "daemon" {
					r.Store = &absorbed{Store: r.Store, owner: r.Owner}
				}
			},
			Processes: processes(daemon(1), runNow(1)), Stalls: 1, Faults: 1, Only: unanswered,
		}, "which Vault does not hold"},
	} {
		t.Run(test.scenario.Name, func(t *testing.T) {
			mustBeFound(t, test.scenario, test.finds)
		})
	}
}

// mustBeFound explores a scenario with a seeded bug until the invariant breaks with the
// given text.
func mustBeFound(t *testing.T, scenario simulation.Scenario, finds string) {
	t.Helper()
	result := simulation.Explore(scenario)
	if result.Violation == nil {
		t.Fatalf("not found in %d states", result.States)
	}
	t.Logf("found after %d states: %s", result.States, result.Violation)
	if !strings.Contains(result.Violation.Broken, finds) {
		t.Errorf("found %q, want %q", result.Violation.Broken, finds)
	}
}

// heir takes expired claims of others as its own.
type heir struct {
	rotator.Store
	owner string
	clock rotator.Clock
}

func (s heir) Read(ctx context.Context, tenant rotator.TenantID) (rotator.Document, error) {
	doc, err := s.Store.Read(ctx, tenant)
	if pending, found := doc.Fields["pending"].(map[string]any); found {
		until, _ := time.Parse(time.RFC3339, pending["claimed_until"].(string))
		if !s.clock.Now().Before(until) {
			pending["owner"] = s.owner
		}
	}
	return doc, err
}

// absorbed does not see another's pending password beside a current one that it has not
// seen before.
type absorbed struct {
	rotator.Store
	owner   string
	current any
}

func (s *absorbed) Read(ctx context.Context, tenant rotator.TenantID) (rotator.Document, error) {
	doc, err := s.Store.Read(ctx, tenant)
	if s.current == nil {
		s.current = doc.Fields["password"]
	}
	if pending, found := doc.Fields["pending"].(map[string]any); found && doc.Fields["password"] != s.current && pending["owner"] != s.owner {
		delete(doc.Fields, "pending")
	}
	return doc, err
}

// unanswered selects unanswered requests about a password.
func unanswered(c simulation.Call, f simulation.Fate) bool {
	return c == simulation.Proof && f == simulation.LostBefore
}

// unprepared reports a new pending password as stored, and does not store it.
type unprepared struct {
	rotator.Store
	pending bool
}

func (s *unprepared) Read(ctx context.Context, tenant rotator.TenantID) (rotator.Document, error) {
	doc, err := s.Store.Read(ctx, tenant)
	_, s.pending = doc.Fields["pending"]
	return doc, err
}

func (s *unprepared) Write(ctx context.Context, tenant rotator.TenantID, doc rotator.Document) (int, error) {
	if _, pending := doc.Fields["pending"]; pending && !s.pending {
		return doc.Version, nil
	}
	return s.Store.Write(ctx, tenant, doc)
}

// claimless shows the claims of others as expired.
type claimless struct {
	rotator.Store
	owner string
}

func (s claimless) Read(ctx context.Context, tenant rotator.TenantID) (rotator.Document, error) {
	doc, err := s.Store.Read(ctx, tenant)
	if pending, found := doc.Fields["pending"].(map[string]any); found && pending["owner"] != s.owner {
		pending["claimed_until"] = "2026-01-01T00:00:00.000Z"
	}
	return doc, err
}

// forgetful hides the pending password.
type forgetful struct{ rotator.Store }

func (s forgetful) Read(ctx context.Context, tenant rotator.TenantID) (rotator.Document, error) {
	doc, err := s.Store.Read(ctx, tenant)
	delete(doc.Fields, "pending")
	return doc, err
}

// blind overwrites versions that it has not read.
type blind struct{ rotator.Store }

func (s blind) Write(ctx context.Context, tenant rotator.TenantID, doc rotator.Document) (int, error) {
	version, err := s.Store.Write(ctx, tenant, doc)
	if !errors.Is(err, rotator.ErrConflict) {
		return version, err
	}
	now, err := s.Read(ctx, tenant)
	if err != nil {
		return 0, err
	}
	return s.Store.Write(ctx, tenant, rotator.Document{Version: now.Version, Fields: doc.Fields})
}

// greedy drops unknown fields.
type greedy struct{ rotator.Store }

func (s greedy) Write(ctx context.Context, tenant rotator.TenantID, doc rotator.Document) (int, error) {
	doc.Fields = maps.Clone(doc.Fields)
	delete(doc.Fields, "note")
	return s.Store.Write(ctx, tenant, doc)
}

// credulous reports every password as proven.
type credulous struct{ rotator.Mailu }

func (m credulous) Server(origin rotator.Origin) (rotator.Server, error) {
	server, err := m.Mailu.Server(origin)
	return credulousServer{server}, err
}

type credulousServer struct{ rotator.Server }

func (credulousServer) Verify(context.Context, string, crypto.Secret) (*rotator.HashCheck, error) {
	return &rotator.HashCheck{Check: func() (rotator.Verification, error) { return rotator.Match, nil }}, nil
}

// hasty turns a lost answer into a refusal.
type hasty struct{ rotator.Mailu }

func (m hasty) Server(origin rotator.Origin) (rotator.Server, error) {
	server, err := m.Mailu.Server(origin)
	return hastyServer{server}, err
}

type hastyServer struct{ rotator.Server }

func (s hastyServer) SetPassword(ctx context.Context, user string, password crypto.Secret) error {
	if err := s.Server.SetPassword(ctx, user, password); err != nil {
		return errors.Join(rotator.ErrRefused, err)
	}
	return nil
}

// trusting reports after a refusal that Mailu holds another password, without a
// request.
type trusting struct{ rotator.Mailu }

func (m trusting) Server(origin rotator.Origin) (rotator.Server, error) {
	server, err := m.Mailu.Server(origin)
	return &trustingServer{Server: server}, err
}

type trustingServer struct {
	rotator.Server
	refused bool
}

func (s *trustingServer) SetPassword(ctx context.Context, user string, password crypto.Secret) error {
	err := s.Server.SetPassword(ctx, user, password)
	s.refused = errors.Is(err, rotator.ErrRefused)
	return err
}

func (s *trustingServer) Verify(ctx context.Context, user string, password crypto.Secret) (*rotator.HashCheck, error) {
	if s.refused {
		return &rotator.HashCheck{Check: func() (rotator.Verification, error) { return rotator.Mismatch, nil }}, nil
	}
	return s.Server.Verify(ctx, user, password)
}

// stopped always returns the time of its first call.
type stopped struct {
	rotator.Clock
	at time.Time
}

func (c *stopped) Now() time.Time {
	if c.at.IsZero() {
		c.at = c.Clock.Now()
	}
	return c.at
}
