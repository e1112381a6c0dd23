package monitor

import (
	"cmp"
	"iter"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"mailu-rotator/rotator"
	"mailu-rotator/rotator/status"
)

// fleetCollector reads the cache at each scrape: ages grow and tenants fall due without
// an event.
type fleetCollector struct {
	cache *status.Cache
	scope atomic.Pointer[Scope]

	tenants, oldest, nextDue, surveyed *prometheus.Desc
	oldestPending, findings, expiring  *prometheus.Desc
	breaker, nextRun                   *prometheus.Desc
	rotated, due, state                *prometheus.Desc // per tenant, if enabled
}

func newFleetCollector(cache *status.Cache) *fleetCollector {
	desc := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc(prometheus.BuildFQName(namespace, "", name), help, labels, nil)
	}
	return &fleetCollector{
		cache:         cache,
		tenants:       desc("tenants", "Tenants, by how they stand against their policy.", "state"),
		oldest:        desc("oldest_age_seconds", "Age of the oldest password among tenants whose policy gives it an end."),
		nextDue:       desc("next_due_timestamp_seconds", "When the tenant that is due first is, or was, due."),
		surveyed:      desc("last_survey_timestamp_seconds", "When all records were last read; 0 if never."),
		oldestPending: desc("oldest_pending_age_seconds", "Age of the oldest pending password; 0 if none is pending."),
		expiring:      desc("records_expiring", "Records that Vault deletes by itself before their policy has them written anew."),
		findings:      desc("findings", "Tenants, by what the last verification found and no rotation has superseded; none before the first one since the start.", "state"),
		breaker:       desc("breaker_state", "1 for the state of the server's breaker in the last run, 0 for the others.", "origin", "state"),
		nextRun:       desc("next_run_timestamp_seconds", "When the next run begins; 0 if none is scheduled.", "task"),
		rotated:       desc("tenant_password_timestamp_seconds", "When the tenant's password was made.", "tenant", "origin"),
		due:           desc("tenant_due_timestamp_seconds", "When the tenant is, or was, due.", "tenant", "origin"),
		state:         desc("tenant_state", "Always 1; the label says how the tenant stands.", "tenant", "origin", "state"),
	}
}

// Describe implements [prometheus.Collector].
func (c *fleetCollector) Describe(ch chan<- *prometheus.Desc) {
	for _, desc := range []*prometheus.Desc{
		c.tenants, c.oldest, c.nextDue, c.surveyed, c.oldestPending, c.findings, c.expiring, c.breaker, c.nextRun, c.rotated, c.due, c.state,
	} {
		ch <- desc
	}
}

// Collect implements [prometheus.Collector].
func (c *fleetCollector) Collect(ch chan<- prometheus.Metric) {
	s, scope := c.cache.Outline(), c.scope.Load()
	gauge := func(desc *prometheus.Desc, value float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(desc, prometheus.GaugeValue, value, labels...)
	}
	gauge(c.surveyed, seconds(s.Scanned))
	gauge(c.nextRun, seconds(s.NextSweep), string(rotator.TaskSweep))
	gauge(c.nextRun, seconds(s.NextVerification), string(rotator.TaskVerification))
	f := tally(c.cache.Tenants(), s.Now, scope.Timetable)
	if !s.Verified.IsZero() { // before one has ended, a 0 would resolve an alert although nothing was fixed
		for _, state := range rotator.States() {
			gauge(c.findings, float64(f.findings[state]), string(state))
		}
	}
	breakers := breakersOf(s)
	for _, origin := range scope.Origins {
		for _, state := range status.Breakers() {
			gauge(c.breaker, flag(cmp.Or(breakers[origin], status.BreakerClosed) == state), string(origin), string(state))
		}
	}
	if s.Scanned.IsZero() {
		return // nothing is known about the tenants: no value instead of 0
	}
	for _, standing := range rotator.Standings() {
		gauge(c.tenants, float64(f.standings[standing]), string(standing))
	}
	gauge(c.oldestPending, f.oldestPending.Seconds())
	gauge(c.expiring, float64(f.expiring))
	if f.aged {
		gauge(c.oldest, f.oldest.Seconds())
		gauge(c.nextDue, seconds(f.nextDue))
	}
	if scope.TenantLabel {
		c.collectTenants(gauge, s.Now, scope.Timetable)
	}
}

func (c *fleetCollector) collectTenants(gauge func(*prometheus.Desc, float64, ...string), now time.Time, t rotator.Timetable) {
	for e := range c.cache.Tenants() {
		if e.Ignored {
			continue // an ignored entry can have any name
		}
		gauge(c.state, 1, e.Tenant, string(e.Origin), string(e.Standing(now, t)))
		if !e.Born.IsZero() {
			gauge(c.rotated, seconds(e.Born), e.Tenant, string(e.Origin))
		}
		if !e.Due.IsZero() {
			gauge(c.due, seconds(e.Due), e.Tenant, string(e.Origin))
		}
	}
}

// totals are the sums over the fleet.
type totals struct {
	standings     map[rotator.Standing]int
	findings      map[rotator.State]int
	aged          bool // at least one age counts: oldest and nextDue are known
	oldest        time.Duration
	nextDue       time.Time
	oldestPending time.Duration
	expiring      int
}

func tally(tenants iter.Seq[status.Entry], now time.Time, t rotator.Timetable) totals {
	f := totals{standings: map[rotator.Standing]int{}, findings: map[rotator.State]int{}}
	for e := range tenants {
		f.standings[e.Standing(now, t)]++
		if holds(e) {
			f.findings[e.State]++
		}
		if e.Pending != nil && !e.Begun.IsZero() {
			f.oldestPending = max(f.oldestPending, now.Sub(e.Begun))
		}
		if e.Vanishes() {
			f.expiring++
		}
		if e.Due.IsZero() {
			continue
		}
		age, _ := e.Age(now)
		f.oldest = max(f.oldest, age)
		if !f.aged || e.Due.Before(f.nextDue) {
			f.nextDue = e.Due
		}
		f.aged = true
	}
	return f
}

// holds reports whether the last verification's result still applies: a later rotation
// has proven that Mailu holds Vault's password.
func holds(e status.Entry) bool {
	rotated := e.Outcome == rotator.Rotated || e.Outcome == rotator.Finished
	return e.State != "" && !(rotated && e.At.After(e.StateSince))
}

// breakersOf leaves out servers that the last run did not use: their breakers are
// closed.
func breakersOf(s status.Snapshot) map[rotator.Origin]status.Breaker {
	breakers := map[rotator.Origin]status.Breaker{}
	for _, server := range s.Servers {
		breakers[server.Origin] = server.Breaker
	}
	return breakers
}

func flag(on bool) float64 {
	if on {
		return 1
	}
	return 0
}
