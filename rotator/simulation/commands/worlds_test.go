package commands_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"mailu-rotator/rotator"
	"mailu-rotator/rotator/sweep"
)

// The tenants; schedules show the first letter.
const (
	tenantA rotator.TenantID = "a0000000-0000-4000-8000-000000000000"
	tenantB rotator.TenantID = "b0000000-0000-4000-8000-000000000000"
	tenantC rotator.TenantID = "c0000000-0000-4000-8000-000000000000"
)

func sweeping(name string, sel sweep.Selection) command {
	return command{name, func(ctx context.Context, p *process) (string, error) {
		report, err := p.sweep.Run(ctx, sel, 0)
		return outcomes(report), err
	}}
}

func daemon() command { return sweeping("daemon", sweep.Selection{}) }

func runNow() command { return sweeping("run-now", sweep.Selection{All: true}) }

func repairing(name string) command {
	return command{name, func(ctx context.Context, p *process) (string, error) {
		v, err := p.sweep.Verify(ctx, sweep.Selection{}, true)
		var said []string
		for _, f := range v.Findings {
			said = append(said, f.Tenant[:1]+" "+string(f.State)+" "+f.Reason)
		}
		return strings.Join(said, ", "), err
	}}
}

func rollingBack(version int) command {
	return command{"rollback", func(ctx context.Context, p *process) (string, error) {
		row, err := p.sweep.Rollback(ctx, string(tenantA), version)
		return string(row.Outcome) + " " + row.Reason, err
	}}
}

func outcomes(report sweep.Report) string {
	var said []string
	for _, row := range report.Rows {
		said = append(said, row.Tenant[:1]+" "+string(row.Outcome)+" "+row.Reason)
	}
	return strings.Join(said, ", ")
}

const (
	user    = "admin@a.example"
	webmail = "https://mail.example/webmail"
)

func blank(user, webmail string) map[string]any {
	return map[string]any{"username": user, "webmail_url": webmail, "created_at": born, "note": "not ours"}
}

// tenants have their own users, and Mailu accepts what Vault holds.
func tenants(ids ...rotator.TenantID) func(*world) {
	return func(w *world) {
		for _, t := range ids {
			name, password := "admin@"+string(t[:1])+".example", "First-password-of-"+string(t[:1])
			w.put(t, w.seal(t, blank(name, webmail), born, password, 1))
			w.users[name] = password
		}
	}
}

// history is a tenant A whose record had these passwords, oldest first, and a Mailu
// that holds one of them or another.
func history(held string, passwords ...string) func(*world) {
	return func(w *world) {
		for i, password := range passwords {
			at := time.Date(2026, 1, 1+i, 0, 0, 0, 0, time.UTC).Format("2006-01-02T15:04:05.000Z")
			w.put(tenantA, w.seal(tenantA, blank(user, webmail), at, password, 1))
		}
		w.users[user] = held
	}
}

func deleted(make func(*world)) func(*world) {
	return func(w *world) {
		make(w)
		w.records[tenantA].newest().deleted = true
	}
}

const (
	one   = "Password-number-one"
	two   = "Password-number-two"
	other = "Set-by-hand-in-Mailu"
)

func scenarios() []scenario {
	return append(rivalries(), []scenario{
		{name: "two tenants, daemon and run-now", world: tenants(tenantA, tenantB), commands: []command{daemon(), runNow()}, after: []command{daemon()}},
		{name: "two tenants, one daemon, 1 fault", world: tenants(tenantA, tenantB), commands: []command{daemon()}, faults: 1, after: []command{daemon()}},
		{name: "stale reads, daemon and run-now", world: tenants(tenantA), commands: []command{daemon(), runNow()}, stale: 1, after: []command{daemon()}},
		{name: "repair from the history, twice at once", world: history(one, one, two), commands: []command{repairing("repair"), repairing("another repair")}, faults: 1, after: []command{repairing("the last repair")}},
		{name: "repair beside an emergency run", world: history(one, one, two), commands: []command{repairing("repair"), runNow()}, faults: 1, after: []command{repairing("the last repair")}},
		{name: "repair by a push, beside an emergency run", world: history(other, one, two), commands: []command{repairing("repair"), runNow()}, after: []command{repairing("the last repair")}},
		{name: "repair by a push, twice at once", world: history(other, one, two), commands: []command{repairing("repair"), repairing("another repair")}, faults: 1, after: []command{repairing("the last repair")}},
		{name: "repair of a deleted record, twice at once", world: deleted(history(two, one, two, two)), commands: []command{repairing("repair"), repairing("another repair")}, faults: 1, after: []command{repairing("the last repair")}},
		{name: "repair of a deleted record, beside an emergency run", world: deleted(history(two, one, two, two)), commands: []command{repairing("repair"), runNow()}, faults: 1, stale: 1, after: []command{repairing("the last repair")}},
		{name: "repair beside a rollback", world: history(one, one, two), commands: []command{repairing("repair"), rollingBack(0)}, faults: 1, after: []command{repairing("the last repair")}},
		{name: "rollback beside an emergency run", world: history(two, one, two), commands: []command{rollingBack(0), runNow()}, faults: 1, after: []command{repairing("the last repair")}},
		{name: "rollback after a reseal, beside an emergency run", world: resealed, newKey: true, commands: []command{rollingBack(0), runNow()}, after: []command{repairing("the last repair")}},
		{name: "stale reads under repair and an emergency run", world: history(two, one, two), commands: []command{repairing("repair"), runNow()}, stale: 2, after: []command{repairing("the last repair")}},
		{name: "stale reads under rollback and repair", world: history(two, one, two), commands: []command{repairing("repair"), rollingBack(0)}, stale: 2, after: []command{repairing("the last repair")}},
	}...)
}

func TestNoCommandLocksATenantOut(t *testing.T) {
	for _, s := range scenarios() {
		t.Run(s.name, func(t *testing.T) {
			began := time.Now()

			r := explore(t, s)

			t.Logf("%d states, %d steps, %d ends in %s", r.states, r.steps, r.ends, time.Since(began).Round(time.Millisecond))
			if r.diverged > 0 {
				t.Errorf("%d schedules could not be replayed", r.diverged)
			}
			if r.broken != "" {
				t.Errorf("%s\n%s", r.broken, r.schedule)
			}
		})
	}
}
