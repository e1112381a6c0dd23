// Package pagetest generates fleets for the status page: of any size, in all states,
// and identical at every call. They result from scans and events on a [status.Cache],
// as in a daemon, so every state shown can occur.
//
// Its command serve shows them in a browser.
package pagetest

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net/url"
	"slices"
	"time"

	"github.com/robfig/cron/v3"

	"mailu-rotator/internal/page"
	"mailu-rotator/rotator"
	"mailu-rotator/rotator/status"
)

// Now is the time of all snapshots.
var Now = time.Date(2026, 11, 25, 14, 32, 10, 0, time.UTC)

// Settings are those of a nightly sweep.
func Settings() page.Settings {
	schedule, err := cron.ParseStandard("0 3 * * *")
	weekly, weeklyErr := cron.ParseStandard("0 5 * * 0")
	if err != nil || weeklyErr != nil {
		panic("both inputs are constants")
	}
	return page.Settings{
		Timetable:     rotator.Timetable{Schedule: schedule, Timezone: time.UTC, Jitter: 10 * time.Minute, Window: 6 * time.Hour},
		Verifications: rotator.Timetable{Schedule: weekly, Timezone: time.UTC, Window: 6 * time.Hour},
		DefaultPolicy: Policy("180_days"),
		Command:       func(args string) string { return "mailu-rotator " + args },
		AddFirst:      "mailu-rotator tenant add --first --vault-token-from-env --user ADDRESS --webmail-url https://mail1.example.com",
	}
}

// Config returns a page configuration that shows only the snapshot.
func Config(snapshot status.Snapshot) page.Config {
	return page.Config{
		Snapshot: func() status.Snapshot { return snapshot },
		Settings: Settings,
		Version:  "v1.0.0",
		Latency: func(o rotator.Origin) (time.Duration, bool) {
			return time.Duration(40+13*len(o)) * time.Millisecond, o != Origin(2)
		},
	}
}

// Policy parses a policy that is known to be valid.
func Policy(s string) rotator.Policy {
	p, err := rotator.ParsePolicy(s)
	if err != nil {
		panic(err)
	}
	return p
}

// Origin returns the origin of the nth server.
func Origin(n int) rotator.Origin {
	return rotator.Origin(fmt.Sprintf("https://mail%d.example.com", n+1))
}

// Tenant returns the id of the nth tenant.
func Tenant(n int) string {
	return fmt.Sprintf("%08x-%04x-4%03x-8%03x-%012x", n*2654435761%(1<<32), n%65536, n%4096, n%4095, n*7919)
}

// Healthy is a fleet without problems.
func Healthy(n int) status.Snapshot {
	b := newCache()
	b.nights(fleet(n, false))
	return b.Snapshot()
}

// Mixed is a fleet with every possible state: all states, failures, servers given up
// and paused, and a running sweep. It has at least 12 tenants.
func Mixed(n int) status.Snapshot {
	b := newCache()
	all := fleet(n, true)
	b.nights(all)
	b.trouble(all)
	return b.Snapshot()
}

// Unread is a daemon that has just started.
func Unread() status.Snapshot { return newCache().Snapshot() }

// Empty is a prefix without tenants.
func Empty() status.Snapshot {
	b := newCache()
	b.Replace(nil)
	b.schedule()
	return b.Snapshot()
}

// Refused is a daemon that has not been able to read the records yet.
func Refused() status.Snapshot {
	b := newCache()
	b.refuse(errSealed)
	return b.Snapshot()
}

// Uninhabited is a daemon whose prefix has never had a tenant.
func Uninhabited() status.Snapshot {
	b := newCache()
	b.refuse(rotator.ErrNoTenants)
	return b.Snapshot()
}

// Emptied is a fleet whose prefix was empty at the last sweep.
func Emptied(n int) status.Snapshot { return refused(n, rotator.ErrNoTenants) }

// Sealed is a fleet whose Vault was sealed before the last sweep.
func Sealed(n int) status.Snapshot { return refused(n, errSealed) }

func refused(n int, why error) status.Snapshot {
	b := newCache()
	b.clock.Advance(-day)
	b.nights(slices.DeleteFunc(fleet(n, false), func(c rotator.Candidate) bool {
		_, known := c.Credential.Born(b.clock.Now().Add(-12 * time.Hour))
		return !known // not made yet
	}))
	b.clock.Advance(day)
	b.refuse(why)
	s := b.Snapshot()
	s.Verified = s.Verified.Add(day) // on the day of its schedule
	return s
}

// Waiting is a daemon that has found no Vault since it was started.
func Waiting() status.Snapshot {
	b := newCache()
	b.schedule()
	b.at(4*time.Minute, func() { b.Cache.Waiting(errUnreachable) })
	return b.Snapshot()
}

// Misconfigured is a fleet whose daemon was given a faulty configuration.
func Misconfigured(n int) status.Snapshot {
	b := newCache()
	b.nights(fleet(n, false))
	b.at(40*time.Minute, func() {
		b.Reloaded(errors.New("/etc/mailu-rotator/config.yaml: line 14: rotation.shedule: unknown key, did you mean schedule?"))
	})
	return b.Snapshot()
}

// Unverified is a fleet whose last verifications did not come to their end.
func Unverified(n int) status.Snapshot {
	s := Healthy(n)
	s.Verified = s.Now.Add(-17 * day)
	return s
}

// Single is a fleet of healthy tenants but for the first one.
func Single(n int, change func(*rotator.Candidate)) status.Snapshot {
	b := newCache()
	all := fleet(n, false)
	change(&all[0])
	b.nights(all)
	return b.Snapshot()
}

// Stuck is the change of a tenant whose rotation was taken over too often.
func Stuck(c *rotator.Candidate) {
	c.Credential.Pending = pending("ops1/4711/9f3a", -30*time.Hour)
	c.Credential.Pending.Claim.Takeovers = 6
}

// HalfFinished is the change of a tenant whose rotation no process works on.
func HalfFinished(c *rotator.Candidate) {
	c.Credential.Pending = pending("ops1/4711/9f3a", -2*time.Hour)
}

// Unreadable is the change of a tenant whose record Vault does not return.
func Unreadable(c *rotator.Candidate) {
	c.Err = fmt.Errorf("read vault/data/smtp/%s/admin: Error making API request. URL: GET https://vault.example.com:8200/v1/vault/data/smtp/%[1]s/admin Code: 500. Errors: * cipher: message authentication failed", c.Name)
}

const day = 24 * time.Hour

// fleet returns n candidates with realistic ages: most are spread over their policy,
// and one group was imported on one day.
func fleet(n int, troubled bool) []rotator.Candidate {
	random := rand.New(rand.NewPCG(1, 2))
	policies := []string{"180_days", "180_days", "180_days", "90_days", "30_days"}
	all := make([]rotator.Candidate, n)
	for i := range all {
		policy := Policy(policies[random.IntN(len(policies))])
		age := day/2 + time.Duration(random.Int64N(int64(policy.MaxAge()-8*day)))
		if i%6 == 0 {
			policy, age = Policy("180_days"), 131*day+time.Duration(random.Int64N(int64(8*time.Hour)))
		}
		all[i] = rotator.Candidate{Name: Tenant(i), Credential: rotator.Credential{
			Tenant: rotator.TenantID(Tenant(i)), Username: fmt.Sprintf("admin@customer-%d.example", i), Origin: Origin(random.IntN(min(8, 1+n/4))),
			Policy: policy, LastRotated: Now.Add(-age).Format("2006-01-02T15:04:05.000Z"),
		}}
	}
	if troubled {
		for i, change := range troubles {
			for j := range 1 + n/200 {
				change(&all[(1+5*i+97*j)%n])
			}
		}
	}
	return all
}

// troubles make candidates of each kind except the healthy one.
var troubles = []func(*rotator.Candidate){
	func(c *rotator.Candidate) { c.Credential.LastRotated = aged(c.Credential.Policy, 9*day) },       // overdue
	func(c *rotator.Candidate) { c.Credential.LastRotated = aged(c.Credential.Policy, 2*time.Hour) }, // due
	func(c *rotator.Candidate) { c.Credential.LastRotated = "last spring" },
	func(c *rotator.Candidate) { c.Credential.Policy = Policy("manual") },
	func(c *rotator.Candidate) {
		c.Credential.Policy = rotator.Policy{}
		c.Err = fmt.Errorf("%w: rotation_policy \"quarterly\" is neither \"<n>_days\" (1 to 100000) nor \"manual\"", rotator.ErrMalformed)
	},
	func(c *rotator.Candidate) { c.Unlisted = rotator.ErrOriginNotListed },
	func(c *rotator.Candidate) { c.Credential.Pending = pending("ops1/4711/9f3a", -2*time.Hour) },
	func(c *rotator.Candidate) { c.Credential.Pending = pending("ops2/815/07bd", 4*time.Minute) },
	func(c *rotator.Candidate) { c.Credential.LastRotated = aged(c.Credential.Policy, 2*day) },
	func(c *rotator.Candidate) { *c = rotator.Candidate{Name: "shared-" + c.Name[:4], Ignored: true} },
}

func aged(p rotator.Policy, past time.Duration) string {
	return Now.Add(-max(p.MaxAge(), day) - past).Format("2006-01-02T15:04:05.000Z")
}

func pending(owner string, left time.Duration) *rotator.Pending {
	return &rotator.Pending{
		LastRotated: Now.Add(-3 * time.Hour).Format("2006-01-02T15:04:05.000Z"),
		Claim:       rotator.Claim{Owner: owner, Until: Now.Add(left)},
	}
}

var errUnreachable = &url.Error{Op: "Get", URL: "https://vault.example.com:8200/v1/sys/health", Err: errors.New("dial tcp 192.0.2.7:8200: connect: connection refused")}

var errSealed = errors.New("vault at https://vault.example.com:8200 is sealed: unseal it; the sweep goes on by itself")
