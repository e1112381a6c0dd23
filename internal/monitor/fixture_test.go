package monitor

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/robfig/cron/v3"

	"mailu-rotator/rotator"
	"mailu-rotator/rotator/rotatortest"
	"mailu-rotator/rotator/status"
)

const (
	serverA = rotator.Origin("https://mail.a.example")
	serverB = rotator.Origin("https://mail.b.example")

	t1 = "00000000-0000-4000-8000-000000000001"
	t2 = "00000000-0000-4000-8000-000000000002"
	t3 = "00000000-0000-4000-8000-000000000003"
	t4 = "00000000-0000-4000-8000-000000000004"
)

// noon is after the day's sweep, which starts at three and may begin rotations until
// nine.
var noon = time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)

const day = 24 * time.Hour

// watched holds a daemon's metrics without the daemon: tests send the events.
type watched struct {
	*Metrics
	clock *rotatortest.Clock
	cache *status.Cache
}

func watch(t *testing.T) *watched {
	t.Helper()
	clock := rotatortest.NewClock(noon)
	cache := status.NewCache(clock)
	return &watched{
		Metrics: NewMetrics(clock, cache, "v1.2.3", []string{"login", "read"}, scope(t)),
		clock:   clock, cache: cache,
	}
}

func scope(t *testing.T) Scope {
	t.Helper()
	nightly, err := cron.ParseStandard("0 3 * * *")
	if err != nil {
		t.Fatal(err)
	}
	return Scope{
		Timetable: rotator.Timetable{Schedule: nightly, Timezone: time.UTC, Jitter: 10 * time.Minute, Window: 6 * time.Hour},
		Origins:   []rotator.Origin{serverA, serverB},
		Method:    "approle",
	}
}

// tell passes events on as the daemon does.
func (w *watched) tell(events ...rotator.Event) {
	for _, e := range events {
		w.cache.Observe(e)
		w.Observe(e)
	}
}

// aged returns a tenant of this age under a policy of 30 days.
func aged(t *testing.T, tenant string, age time.Duration, edits ...func(*rotator.Status)) rotator.Status {
	t.Helper()
	policy, err := rotator.ParsePolicy("30_days")
	if err != nil {
		t.Fatal(err)
	}
	s := rotator.Status{Tenant: tenant, Origin: serverA, Policy: policy, Born: noon.Add(-age), Due: noon.Add(30*day - age)}
	for _, edit := range edits {
		edit(&s)
	}
	return s
}

func foreign(s *rotator.Status) {
	*s = rotator.Status{Tenant: "\"odd\"\n name", Ignored: true}
}

func invalid(s *rotator.Status) { s.Fault = "no origin" }

func manual(s *rotator.Status) { s.Policy, _ = rotator.ParsePolicy("manual"); s.Due = time.Time{} }

func pendingFor(age time.Duration) func(*rotator.Status) {
	return func(s *rotator.Status) { s.Pending, s.Begun = &rotator.Claim{}, noon.Add(-age) }
}

// gather returns the metric families by name, including those of the Go runtime.
func (w *watched) gather(t *testing.T) map[string]*dto.MetricFamily {
	t.Helper()
	families, err := w.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	byName := map[string]*dto.MetricFamily{}
	for _, family := range families {
		byName[family.GetName()] = family
	}
	return byName
}

// value returns the value of a series such as tenants{state="ok"}, or false if it does
// not exist. For a histogram it is the number of observations.
func (w *watched) value(t *testing.T, series string) (float64, bool) {
	t.Helper()
	name, _, _ := strings.Cut(series, "{")
	family := w.gather(t)["mailu_rotator_"+name]
	for _, metric := range family.GetMetric() {
		if "mailu_rotator_"+series == family.GetName()+labelsOf(metric) {
			return number(metric), true
		}
	}
	return 0, false
}

func (w *watched) want(t *testing.T, want map[string]float64) {
	t.Helper()
	for series, value := range want {
		if got, found := w.value(t, series); !found || got != value {
			t.Errorf("%s is %v (there: %t), want %v", series, got, found, value)
		}
	}
}

func (w *watched) wantNone(t *testing.T, all ...string) {
	t.Helper()
	for _, series := range all {
		if got, found := w.value(t, series); found {
			t.Errorf("%s is there, with %v", series, got)
		}
	}
}

func labelsOf(m *dto.Metric) string {
	if len(m.GetLabel()) == 0 {
		return ""
	}
	var pairs []string
	for _, label := range m.GetLabel() {
		pairs = append(pairs, fmt.Sprintf("%s=%q", label.GetName(), label.GetValue()))
	}
	slices.Sort(pairs)
	return "{" + strings.Join(pairs, ",") + "}"
}

func number(m *dto.Metric) float64 {
	switch {
	case m.GetCounter() != nil:
		return m.GetCounter().GetValue()
	case m.GetHistogram() != nil:
		return float64(m.GetHistogram().GetSampleCount())
	}
	return m.GetGauge().GetValue()
}

var errFault = errors.New("connection refused")
