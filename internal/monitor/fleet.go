package monitor

import (
	"cmp"
	"iter"
	"slices"
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
	descs map[string]*prometheus.Desc // by name without the namespace
}

func newFleetCollector(cache *status.Cache) *fleetCollector {
	c := &fleetCollector{cache: cache, descs: map[string]*prometheus.Desc{}}
	for name, text := range map[string][]string{ // the help, then the labels
		"tenants":                        {"Tenants, by how they stand against their policy.", "state"},
		"oldest_age_seconds":             {"Age of the oldest password among tenants whose policy gives it an end."},
		"next_due_timestamp_seconds":     {"When the tenant that is due first is, or was, due."},
		"last_scan_timestamp_seconds":    {"When all records were last read; 0 if never."},
		"oldest_pending_age_seconds":     {"Age of the oldest pending password; 0 if none is pending."},
		"records_expiring":               {"Records that Vault deletes by itself before their policy has them written anew."},
		"findings":                       {"Tenants, by what the last verification found and no rotation has superseded; none before the first one since the start.", "state"},
		"oldest_proof_timestamp_seconds": {"When the tenant that was proven least recently was last proven; 0 if one never was since the start."},
		"breaker_state":                  {"1 for the state of the server's breaker in the last run, 0 for the others.", "origin", "state"},
		"login_state":                    {"1 for the result of the last real login at the server, 0 for the others; none before the first one since the start.", "origin", "state"},
		"next_run_timestamp_seconds":     {"When the next run begins; 0 if none is scheduled.", "task"},
		// Only of a cluster.
		"cluster_connected":                      {"Whether NATS answered when the daemon last looked: 1, or 0."},
		"cluster_workers":                        {"Workers that list the server, on all hosts.", "origin"},
		"cluster_queue_batches":                  {"Batches of tenants that are not done; the origin other stands for all servers that are not configured here.", "origin"},
		"cluster_queue_oldest_timestamp_seconds": {"When the first of them was published; 0 if there is none.", "origin"},
		// Per tenant, if enabled.
		"tenant_password_timestamp_seconds": {"When the tenant's password was made.", "tenant", "origin"},
		"tenant_due_timestamp_seconds":      {"When the tenant is, or was, due.", "tenant", "origin"},
		"tenant_proven_timestamp_seconds":   {"When Mailu was last proven to hold the tenant's password of Vault.", "tenant", "origin"},
		"tenant_state":                      {"Always 1; the label says how the tenant stands.", "tenant", "origin", "state"},
	} {
		c.descs[name] = prometheus.NewDesc(prometheus.BuildFQName(namespace, "", name), text[0], text[1:], nil)
	}
	return c
}

// Describe implements [prometheus.Collector].
func (c *fleetCollector) Describe(ch chan<- *prometheus.Desc) {
	for _, desc := range c.descs {
		ch <- desc
	}
}

// Collect implements [prometheus.Collector].
func (c *fleetCollector) Collect(ch chan<- prometheus.Metric) {
	s, scope := c.cache.Outline(), c.scope.Load()
	gauge := func(name string, value float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(c.descs[name], prometheus.GaugeValue, value, labels...)
	}
	collectCluster(gauge, s.Cluster)
	gauge("last_scan_timestamp_seconds", seconds(s.Scanned))
	gauge("next_run_timestamp_seconds", seconds(s.NextSweep), string(rotator.TaskSweep))
	gauge("next_run_timestamp_seconds", seconds(s.NextVerification), string(rotator.TaskVerification))
	f := tally(c.cache.Tenants(), s.Now, scope.Timetable)
	if !s.Verified.IsZero() { // before one has ended, a 0 would resolve an alert although nothing was fixed
		for _, state := range rotator.States() {
			gauge("findings", float64(f.findings[state]), string(state))
		}
	}
	breakers := map[rotator.Origin]status.Breaker{} // of the servers that the last run used; those of others are closed
	for _, server := range s.Servers {
		breakers[server.Origin] = server.Breaker
	}
	for _, origin := range scope.Origins {
		for _, state := range status.Breakers() {
			gauge("breaker_state", flag(cmp.Or(breakers[origin], status.BreakerClosed) == state), string(origin), string(state))
		}
	}
	for _, login := range s.Logins {
		for _, state := range rotator.LoginStates() {
			if slices.Contains(scope.Origins, login.Origin) {
				gauge("login_state", flag(login.State == state), string(login.Origin), string(state))
			}
		}
	}
	if s.Scanned.IsZero() {
		return // nothing is known about the tenants: no value instead of 0
	}
	for _, state := range rotator.PolicyStates() {
		gauge("tenants", float64(f.byState[state]), string(state))
	}
	gauge("oldest_pending_age_seconds", f.oldestPending.Seconds())
	gauge("records_expiring", float64(f.expiring))
	gauge("oldest_proof_timestamp_seconds", seconds(f.oldestProof))
	if f.aged {
		gauge("oldest_age_seconds", f.oldest.Seconds())
		gauge("next_due_timestamp_seconds", seconds(f.nextDue))
	}
	if scope.TenantLabel {
		c.collectTenants(gauge, s.Now, scope.Timetable)
	}
}

// otherServers is the origin of what waits for servers that are not configured here, which
// the cluster does not name.
const otherServers = "other"

// collectCluster says nothing about workers and queues that are not known now.
func collectCluster(gauge func(string, float64, ...string), c status.Cluster) {
	if !c.Known() {
		return
	}
	gauge("cluster_connected", flag(c.Failed.Reason == ""))
	if c.Failed.Reason != "" {
		return
	}
	for _, q := range c.Queues {
		origin := cmp.Or(string(q.Origin), otherServers)
		if q.Origin != "" {
			gauge("cluster_workers", float64(q.Workers), origin)
		}
		gauge("cluster_queue_batches", float64(q.Batches), origin)
		gauge("cluster_queue_oldest_timestamp_seconds", seconds(q.Oldest), origin)
	}
}

func (c *fleetCollector) collectTenants(gauge func(string, float64, ...string), now time.Time, t rotator.Timetable) {
	for e := range c.cache.Tenants() {
		if e.Ignored {
			continue // an ignored entry can have any name
		}
		gauge("tenant_state", 1, e.Tenant, string(e.Origin), string(e.PolicyState(now, t)))
		if !e.Born.IsZero() {
			gauge("tenant_password_timestamp_seconds", seconds(e.Born), e.Tenant, string(e.Origin))
		}
		if proven := e.Proven(); !proven.IsZero() {
			gauge("tenant_proven_timestamp_seconds", seconds(proven), e.Tenant, string(e.Origin))
		}
		if !e.Due.IsZero() {
			gauge("tenant_due_timestamp_seconds", seconds(e.Due), e.Tenant, string(e.Origin))
		}
	}
}

// totals are the sums over the fleet.
type totals struct {
	byState       map[rotator.PolicyState]int
	findings      map[rotator.State]int
	aged          bool // at least one age counts: oldest and nextDue are known
	oldest        time.Duration
	nextDue       time.Time
	oldestPending time.Duration
	expiring      int
	oldestProof   time.Time // zero: a tenant has none
}

func tally(tenants iter.Seq[status.Entry], now time.Time, t rotator.Timetable) totals {
	f := totals{byState: map[rotator.PolicyState]int{}, findings: map[rotator.State]int{}, oldestProof: now}
	for e := range tenants {
		f.byState[e.PolicyState(now, t)]++
		if proven := e.Proven(); !e.Ignored && proven.Before(f.oldestProof) {
			f.oldestProof = proven
		}
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
