package monitor

import (
	"maps"
	"net/http"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"mailu-rotator/rotator"
)

func TestRotationsAreCountedByServerAndOutcome(t *testing.T) {
	w := watch(t)

	w.tell(
		rotator.Event{Name: rotator.TenantDone, Tenant: t1, Origin: serverA, Outcome: rotator.Rotated},
		rotator.Event{Name: rotator.TenantDone, Tenant: t2, Origin: serverA, Outcome: rotator.Rotated},
		rotator.Event{Name: rotator.TenantDone, Tenant: t3, Origin: serverB, Outcome: rotator.Refused, Err: errFault},
		rotator.Event{Name: rotator.TenantSkipped, Tenant: t4, Origin: "https://not.listed.example", Outcome: rotator.Invalid, Err: errFault},
	)

	w.want(t, map[string]float64{
		`rotations_total{origin="https://mail.a.example",outcome="rotated"}`: 2,
		`rotations_total{origin="https://mail.b.example",outcome="refused"}`: 1,
		`rotations_total{origin="https://mail.b.example",outcome="rotated"}`: 0,
	})
	w.wantNone(t, `rotations_total{origin="https://not.listed.example",outcome="invalid"}`)
}

func TestARunIsTimedAndCountedByHowItEnds(t *testing.T) {
	w := watch(t)

	w.tell(rotator.Event{Name: rotator.SweepStarted})
	w.clock.Advance(90 * time.Second)
	w.tell(rotator.Event{Name: rotator.SweepFinished, Count: 3})
	ended := seconds(w.clock.Now())
	w.clock.Advance(time.Hour)
	w.tell(rotator.Event{Name: rotator.VerificationStarted}, rotator.Event{Name: rotator.VerificationFinished})
	w.clock.Advance(time.Hour)
	w.tell(rotator.Event{Name: rotator.SweepRefused, Err: errFault})
	w.tell(rotator.Event{Name: rotator.RecoveryStarted}, rotator.Event{Name: rotator.RecoveryFinished, Deferred: 2})

	w.want(t, map[string]float64{
		`runs_total{result="incomplete",task="recovery"}`:                    1,
		`runs_total{result="ok",task="recovery"}`:                            0,
		`runs_total{result="failures",task="sweep"}`:                         1,
		`runs_total{result="refused",task="sweep"}`:                          1,
		`runs_total{result="ok",task="sweep"}`:                               0,
		`runs_total{result="ok",task="verification"}`:                        1,
		`last_run_duration_seconds{task="sweep"}`:                            90,
		`last_run_failures{task="sweep"}`:                                    3,
		`last_success_timestamp_seconds{task="sweep"}`:                       ended,
		`last_success_timestamp_seconds{task="verification"}`:                ended + 3600,
		`last_run_timestamp_seconds{task="sweep"}`:                           ended + 7200,
		`last_run_timestamp_seconds{task="verification"}`:                    ended + 3600,
		`last_run_duration_seconds{task="verification"}`:                     0,
		`last_run_failures{task="verification"}`:                             0,
		`runs_total{result="failures",task="verification"}`:                  0,
		`build_info{goversion="` + runtime.Version() + `",version="v1.2.3"}`: 1,
	})
}

// The alert on missed sweeps uses the last success.
func TestNeitherARecoveryNorAnInterruptedSweepIsASuccess(t *testing.T) {
	w := watch(t)
	w.wantNone(t, `last_run_failures{task="sweep"}`)

	w.tell(rotator.Event{Name: rotator.RecoveryStarted}, rotator.Event{Name: rotator.RecoveryPlanned}, rotator.Event{Name: rotator.RecoveryFinished})
	w.tell(rotator.Event{Name: rotator.SweepStarted}, rotator.Event{Name: rotator.SweepPlanned}, rotator.Event{Name: rotator.SweepInterrupted, Deferred: 147})
	w.tell(rotator.Event{Name: rotator.RecoveryRefused, Err: errFault})

	w.want(t, map[string]float64{
		`last_success_timestamp_seconds{task="sweep"}`:    0,
		`last_success_timestamp_seconds{task="recovery"}`: seconds(noon),
		`runs_total{result="ok",task="recovery"}`:         1,
		`runs_total{result="refused",task="recovery"}`:    1,
		`runs_total{result="interrupted",task="sweep"}`:   1,
		`runs_total{result="ok",task="sweep"}`:            0,
		`runs_total{result="failures",task="sweep"}`:      0,
		`runs_total{result="refused",task="sweep"}`:       0,
		`last_run_failures{task="recovery"}`:              0,
	})
	w.wantNone(t, `last_run_failures{task="sweep"}`)
}

func TestStepsAreTimed(t *testing.T) {
	w := watch(t)
	w.Step(rotator.StepPush, 300*time.Millisecond)

	w.want(t, map[string]float64{
		`step_duration_seconds{step="push"}`:      1,
		`step_duration_seconds{step="take over"}`: 0,
	})
	var took float64
	for _, metric := range w.gather(t)["mailu_rotator_step_duration_seconds"].GetMetric() {
		took += metric.GetHistogram().GetSampleSum()
	}
	if took != 0.3 {
		t.Errorf("took %v seconds, want 0.3", took)
	}
}

func TestRequestsAreTimedAndErrorsClassed(t *testing.T) {
	w := watch(t)
	for _, status := range []int{200, 204, 0, 403, 429, 503, 404} {
		w.VaultRequest("read", status, time.Millisecond)
		w.MailuRequest(serverA, http.MethodPatch, status, time.Millisecond)
	}

	w.want(t, map[string]float64{
		`vault_request_duration_seconds{operation="read"}`:                                 7,
		`vault_request_duration_seconds{operation="login"}`:                                0,
		`vault_request_errors_total{class="no_answer",operation="read"}`:                   1,
		`vault_request_errors_total{class="denied",operation="read"}`:                      1,
		`vault_request_errors_total{class="server_error",operation="read"}`:                1,
		`vault_request_errors_total{class="rejected",operation="login"}`:                   0,
		`mailu_request_duration_seconds{method="PATCH",origin="https://mail.a.example"}`:   7,
		`mailu_request_duration_seconds{method="GET",origin="https://mail.a.example"}`:     0,
		`mailu_request_errors_total{class="rate_limited",origin="https://mail.a.example"}`: 1,
		`mailu_request_errors_total{class="rejected",origin="https://mail.a.example"}`:     1,
		`mailu_request_errors_total{class="rejected",origin="https://mail.b.example"}`:     0,
	})
}

func TestTheTokensExpiryIsThatOfTheMethodInUse(t *testing.T) {
	w := watch(t)
	w.want(t, map[string]float64{`vault_token_expiry_timestamp_seconds{method="approle"}`: 0})

	w.VaultToken("approle", noon.Add(time.Hour))
	w.want(t, map[string]float64{`vault_token_expiry_timestamp_seconds{method="approle"}`: seconds(noon) + 3600})

	other := scope(t)
	other.Method = "token"
	w.Renew(other)
	w.want(t, map[string]float64{`vault_token_expiry_timestamp_seconds{method="token"}`: 0})
	w.wantNone(t, `vault_token_expiry_timestamp_seconds{method="approle"}`)
}

func TestAReloadKeepsWhatWasCountedAndForgetsServersThatLeft(t *testing.T) {
	w := watch(t)
	w.tell(
		rotator.Event{Name: rotator.TenantDone, Origin: serverA, Outcome: rotator.Rotated},
		rotator.Event{Name: rotator.TenantDone, Origin: serverB, Outcome: rotator.Rotated},
	)
	next := scope(t)
	next.Origins = []rotator.Origin{serverA, "https://mail.new.example"}

	w.Renew(next)
	w.Reloaded(true)

	w.want(t, map[string]float64{
		`rotations_total{origin="https://mail.a.example",outcome="rotated"}`:   1,
		`rotations_total{origin="https://mail.new.example",outcome="rotated"}`: 0,
		`breaker_state{origin="https://mail.new.example",state="closed"}`:      1,
		`config_last_reload_successful`:                                        1,
	})
	w.wantNone(t,
		`rotations_total{origin="https://mail.b.example",outcome="rotated"}`,
		`mailu_request_errors_total{class="denied",origin="https://mail.b.example"}`,
		`mailu_request_duration_seconds{method="GET",origin="https://mail.b.example"}`,
		`breaker_state{origin="https://mail.b.example",state="closed"}`,
	)
	w.Reloaded(false)
	w.want(t, map[string]float64{`config_last_reload_successful`: 0})
}

func TestMetricsFollowTheNamingOfPrometheus(t *testing.T) {
	w := everything(t)
	var ours []string
	for name := range w.gather(t) {
		if strings.HasPrefix(name, namespace) {
			ours = append(ours, name)
		}
	}

	problems, err := testutil.GatherAndLint(w.registry, ours...)

	if err != nil || len(problems) > 0 || len(ours) < 20 {
		t.Errorf("%d metrics, %v: %+v", len(ours), err, problems)
	}
}

// The configuration bounds the cardinality: names and number of tenants add nothing.
func TestTenantsAddNoSeriesUnlessAskedFor(t *testing.T) {
	w := watch(t)
	w.cache.Replace([]rotator.Status{aged(t, t1, day)})
	before := w.seriesOf(t)

	w.cache.Replace([]rotator.Status{aged(t, t1, 40*day), aged(t, t2, day), aged(t, t3, day, pendingFor(day)), aged(t, "", 0, foreign)})
	for _, tenant := range []string{t1, t2, t3} {
		w.tell(rotator.Event{Name: rotator.TenantDone, Tenant: tenant, Origin: serverA, Outcome: rotator.Rotated})
		w.Step(rotator.StepPush, time.Second)
	}

	if after := w.seriesOf(t); !slices.Equal(before, after) {
		t.Errorf("series before\n%v\nand after\n%v", before, after)
	}
}

// everything is a daemon that has received every kind of event.
func everything(t *testing.T) *watched {
	t.Helper()
	w := watch(t)
	all := scope(t)
	all.TenantLabel, all.Method = true, "token"
	w.Renew(all)
	w.cache.Replace([]rotator.Status{aged(t, t1, 40*day), aged(t, t2, day)})
	w.tell(rotator.Event{Name: rotator.TickScheduled, Wait: time.Hour}, rotator.Event{Name: rotator.TenantVerified, Tenant: t1, State: rotator.StateDrift},
		rotator.Event{Name: rotator.TenantVerified, Tenant: t2, State: rotator.StateOK}, rotator.Event{Name: rotator.LoginWasAccepted, Origin: serverA})
	for _, ended := range []rotator.EventName{rotator.SweepFinished, rotator.RecoveryFinished, rotator.VerificationFinished} {
		w.tell(rotator.Event{Name: ended})
	}
	w.cache.SawCluster(ofTwoServers())
	return w
}

func (w *watched) seriesOf(t *testing.T) (all []string) {
	t.Helper()
	families := w.gather(t)
	for _, name := range slices.Sorted(maps.Keys(families)) {
		if strings.HasPrefix(name, namespace) {
			for _, metric := range families[name].GetMetric() {
				all = append(all, name+labelsOf(metric))
			}
		}
	}
	return all
}
