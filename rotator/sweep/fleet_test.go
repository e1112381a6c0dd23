package sweep_test

import (
	"context"
	"encoding/base64"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"mailu-rotator/crypto"
	"mailu-rotator/rotator"
	"mailu-rotator/rotator/rotatortest"
	"mailu-rotator/rotator/sweep"
)

const (
	tenantA = "550e8400-e29b-41d4-a716-446655440000"
	userA   = "admin@a.example"
	ttl     = 5 * time.Minute
)

// noon is the time of tests that compute ages.
var noon = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

// fleet is tenants on two servers with everything around them in memory, and a sweep
// over them. Tenants have numbers; lower ones are older. All are due.
type fleet struct {
	store *rotatortest.Store
	mailu *rotatortest.Mailu
	sweep *sweep.Sweep
	fault rotatortest.Hook // of the test

	mu     sync.Mutex
	began  time.Time
	made   int // passwords
	calls  []moment
	events []rotator.Event
}

// moment is a call and its start.
type moment struct {
	rotatortest.Call
	at time.Duration // since the start of the fleet
}

// inFleet runs f in a bubble with its own time.
func inFleet(t *testing.T, f func(*testing.T, *fleet)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) { f(t, newFleet(t)) })
}

func newFleet(t *testing.T) *fleet {
	t.Helper()
	f := &fleet{began: time.Now()}
	f.store = &rotatortest.Store{Clock: rotator.SystemClock{}, Hook: f.hook}
	f.mailu = &rotatortest.Mailu{Origins: []rotator.Origin{serverA, serverB}, Hook: f.hook}
	f.sweep = f.process(t, "this process")
	return f
}

func (f *fleet) process(t *testing.T, owner string) *sweep.Sweep {
	t.Helper()
	return &sweep.Sweep{
		Store: f.store, Keys: f.store, Mailu: f.mailu, Time: f.store, Clock: rotator.SystemClock{},
		NewPassword: f.newPassword, DefaultPolicy: rotatortest.Policy(t, "180_days"), Owner: owner,
		Workers: 8, Cores: runtime.GOMAXPROCS(0), ClaimTTL: ttl, Canary: true, Grace: 30 * time.Second, Observe: f.observe,
	}
}

// dry is the sweep for a dry run.
func dry(s *sweep.Sweep) *sweep.Sweep {
	planning := *s
	planning.DryRun = true
	return &planning
}

func tenant(n int) rotator.TenantID {
	return rotator.TenantID(fmt.Sprintf("00000000-0000-4000-8000-%012d", n))
}

func userOf(n int) string { return fmt.Sprintf("admin@%d.example", n) }

// add puts tenants on a server. A rotation never opens their current password, so it
// need not be a sealed one.
func (f *fleet) add(server rotator.Origin, numbers ...int) {
	for _, n := range numbers {
		born := f.began.AddDate(0, 0, n-400).Format(time.RFC3339)
		f.store.Put(string(tenant(n)), map[string]any{
			"username": userOf(n), "webmail_url": string(server) + "/webmail", "password": envelope(n),
			"last_rotated": born, "created_at": born, "key_version": 1,
		})
		f.mailu.AddUser(userOf(n), "old password")
	}
}

// envelope has the form of a sealed password that no key opens.
func envelope(n int) string {
	return base64.StdEncoding.EncodeToString(fmt.Appendf(nil, "%-40d", n))
}

// leave adds a half-finished rotation beside the current password.
func (f *fleet) leave(t *testing.T, n int, owner string, until time.Time) {
	t.Helper()
	const made = "2000-01-01T00:00:00.000Z"
	ring, err := crypto.NewKeyring(map[crypto.KeyVersion][]byte{1: make([]byte, crypto.KeySize)}) // the store's
	if err != nil {
		t.Fatal(err)
	}
	sealed, err := crypto.Seal(ring.Newest(), crypto.Binding{TenantID: string(tenant(n)), LastRotated: made}, crypto.SecretFromString("pending password"))
	if err != nil {
		t.Fatal(err)
	}
	f.store.Edit(string(tenant(n)), func(fields map[string]any) {
		fields["pending"] = map[string]any{
			"password": string(sealed), "last_rotated": made, "key_version": 1,
			"owner": owner, "claimed_until": until.Format(time.RFC3339Nano),
		}
	})
}

func (f *fleet) newPassword() (crypto.Secret, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.made++
	return crypto.SecretFromString(fmt.Sprintf("password %d", f.made)), nil
}

func (f *fleet) observe(e rotator.Event) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.events = append(f.events, e)
}

func (f *fleet) hook(c rotatortest.Call) rotatortest.Fault {
	f.mu.Lock()
	f.calls = append(f.calls, moment{c, time.Since(f.began)})
	f.mu.Unlock()
	if f.fault == nil {
		return rotatortest.Fault{}
	}
	return f.fault(c)
}

func (f *fleet) run(t *testing.T, sel sweep.Selection) sweep.Report {
	t.Helper()
	return f.runWithin(t, t.Context(), sel, 0)
}

func (f *fleet) runWithin(t *testing.T, ctx context.Context, sel sweep.Selection, window time.Duration) sweep.Report {
	t.Helper()
	report, err := f.sweep.Run(ctx, sel, window)
	if err != nil {
		t.Fatalf("the sweep could not take place: %v", err)
	}
	return report
}

// of counts the calls of one kind, for all users or the given ones.
func (f *fleet) of(op rotatortest.Op, users ...int) (calls []moment) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, call := range f.calls {
		matches := len(users) == 0
		for _, n := range users {
			matches = matches || call.User == userOf(n) || call.Tenant == tenant(n)
		}
		if call.Op == op && matches {
			calls = append(calls, call)
		}
	}
	return calls
}

// told returns the events with one name.
func (f *fleet) told(name rotator.EventName) (events []rotator.Event) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, e := range f.events {
		if e.Name == name {
			events = append(events, e)
		}
	}
	return events
}

// mustEnd compares the outcomes, in the plan's order: "1 rotated, 2 blocked".
func mustEnd(t *testing.T, report sweep.Report, want string) {
	t.Helper()
	words := make([]string, len(report.Rows))
	for i, row := range report.Rows {
		words[i] = fmt.Sprintf("%s %s", strings.TrimLeft(row.Tenant[max(0, len(row.Tenant)-12):], "0"), row.Outcome)
	}
	if got := strings.Join(words, ", "); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
		for _, row := range report.Rows {
			t.Logf("%s: %s", row.Tenant, row.Reason)
		}
	}
}

// mustRest checks the invariant at rest, as far as possible without opening anything:
// no pending password, and a current one that was changed exactly if Mailu's was.
func (f *fleet) mustRest(t *testing.T, numbers ...int) {
	t.Helper()
	for _, n := range numbers {
		fields, _ := f.store.Get(string(tenant(n)))
		rotated := fields["password"] != envelope(n)
		if fields["pending"] != nil || rotated != (f.mailu.Password(userOf(n)) != "old password") {
			t.Errorf("tenant %d is not at rest: Mailu accepts %q, Vault holds %v", n, f.mailu.Password(userOf(n)), fields)
		}
	}
}

// failing makes every call to Mailu for these users fail.
func failing(err error, users ...int) rotatortest.Hook {
	return func(c rotatortest.Call) rotatortest.Fault {
		for _, n := range users {
			if c.User == userOf(n) {
				return rotatortest.Fault{Before: err}
			}
		}
		return rotatortest.Fault{}
	}
}

// slow makes every push take this long.
func slow(d time.Duration) rotatortest.Hook { return slowCall(rotatortest.OpSetPassword, d) }

func slowCall(op rotatortest.Op, d time.Duration) rotatortest.Hook {
	return func(c rotatortest.Call) rotatortest.Fault {
		if c.Op == op {
			time.Sleep(d)
		}
		return rotatortest.Fault{}
	}
}
