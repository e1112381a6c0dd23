package sweep_test

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/robfig/cron/v3"

	"mailu-rotator/rotator"
	"mailu-rotator/rotator/rotatortest"
	"mailu-rotator/rotator/sweep"
)

// nightly is a sweep at three each night that may start rotations until nine.
func nightly(t *testing.T) rotator.Timetable {
	t.Helper()
	schedule, err := cron.ParseStandard("0 3 * * *")
	if err != nil {
		t.Fatal(err)
	}
	return rotator.Timetable{Schedule: schedule, Timezone: time.UTC, Jitter: 10 * time.Minute, Window: 6 * time.Hour}
}

func TestPolicyStates(t *testing.T) {
	tests := []struct {
		name      string
		candidate rotator.Candidate
		rivals    int
		want      rotator.PolicyState
	}{
		{"younger than its policy", entry(t1, 29), 1, rotator.PolicyStateOK},
		{"as old as its policy", entry(t1, 30), 1, rotator.PolicyStateDue},
		{"due, and the next sweep has not been yet", entry(t1, 30), 1, rotator.PolicyStateDue},
		{"due before a sweep that is over", entry(t1, 32), 1, rotator.PolicyStateOverdue},
		{"manual, however old", entry(t1, 999, manual), 1, rotator.PolicyStateOK},
		{"of unknown age", entry(t1, 0, undated), 1, rotator.PolicyStateDue},
		{"half-finished, however old", entry(t1, 999, pending), 1, rotator.PolicyStatePending},
		{"malformed", entry(t1, 999, malformed), 1, rotator.PolicyStateInvalid},
		{"a record that may not be read", entry(t1, 0, unreadable), 1, rotator.PolicyStateInvalid},
		{"an origin that is not listed", entry(t1, 1, unlisted), 1, rotator.PolicyStateInvalid},
		{"a user that another tenant names", entry(t1, 1), 2, rotator.PolicyStateInvalid},
		{"not a tenant", entry(t1, 0, foreign), 0, rotator.PolicyStateIgnored},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			status := rotator.StatusOf(noon, test.candidate, test.rivals)

			if got := status.PolicyState(noon, nightly(t)); got != test.want {
				t.Errorf("got %s, want %s", got, test.want)
			}
		})
	}
}

func TestOverdueBeginsWhenTheSweepThatShouldHaveSeenToItIsOver(t *testing.T) {
	status := rotator.StatusOf(noon, entry(t1, 30), 1) // due at noon, swept from 3:00 to 9:10
	over := noon.Add(21*time.Hour + 10*time.Minute)

	if got := status.PolicyState(over, nightly(t)); got != rotator.PolicyStateDue {
		t.Errorf("at the end of the sweep: %s", got)
	}
	if got := status.PolicyState(over.Add(time.Nanosecond), nightly(t)); got != rotator.PolicyStateOverdue {
		t.Errorf("after the sweep: %s", got)
	}
}

func TestStatusCountsDaysFromTheStoredTimestamp(t *testing.T) {
	status := rotator.StatusOf(noon, entry(t1, 29), 1)

	age, known := status.Age(noon)
	left, comes := status.Left(noon)
	if !known || age != 29*24*time.Hour || !comes || left != 24*time.Hour {
		t.Errorf("age %s (%t), left %s (%t)", age, known, left, comes)
	}
	if _, comes := rotator.StatusOf(noon, entry(t1, 29, manual), 1).Left(noon); comes {
		t.Error("a manual policy has a due date")
	}
	if _, known := rotator.StatusOf(noon, entry(t1, 0, undated), 1).Age(noon); known {
		t.Error("an unknown age is known")
	}
}

func TestUrgencyIsOverdueThenWhatNeedsSomebodyThenByDueDate(t *testing.T) {
	candidates := []rotator.Candidate{
		entry(t1, 1), entry(t2, 29), entry(t3, 999, manual), entry(t4, 99),
		entry("00000000-0000-4000-8000-000000000005", 30),
		entry("00000000-0000-4000-8000-000000000006", 1, pending),
		entry("00000000-0000-4000-8000-000000000007", 1, malformed),
		entry("00000000-0000-4000-8000-000000000008", 98),
		entry("00000000-0000-4000-8000-000000000009", 0, undated),
		entry(t1, 0, foreign),
	}
	var all []rotator.Status
	for _, c := range candidates {
		all = append(all, rotator.StatusOf(noon, c, 1))
	}

	rotator.SortByUrgency(all, noon, nightly(t))

	var got []string
	for _, s := range all {
		got = append(got, s.Tenant[len(s.Tenant)-1:])
	}
	if order := strings.Join(got, " "); order != "4 8 7 6 9 5 2 1 3 E" {
		t.Errorf("got %s", order)
	}
}

func TestStatusReadsRecordsAndNothingElse(t *testing.T) {
	inFleet(t, func(t *testing.T, f *fleet) {
		f.add(serverA, 1, 2)
		f.fault = func(c rotatortest.Call) rotatortest.Fault {
			if c.Op != rotatortest.OpList && c.Op != rotatortest.OpRead {
				t.Errorf("it made a call to %s", c.Op)
			}
			return rotatortest.Fault{}
		}

		all, _, err := f.sweep.Status(t.Context(), sweep.Selection{})

		if err != nil || len(all) != 2 {
			t.Fatalf("%d tenants, %v", len(all), err)
		}
	})
}

func TestStatusOfNobodyIsAMistake(t *testing.T) {
	inFleet(t, func(t *testing.T, f *fleet) {
		f.add(serverA, 1)

		_, _, err := f.sweep.Status(t.Context(), sweep.Selection{Origins: []rotator.Origin{serverB}})

		if err == nil {
			t.Error("no tenant is on that server, and it says nothing")
		}
	})
}

func TestStatusRefusesAWrongClock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t)
		f.add(serverA, 1)
		f.sweep.Time = timeSource(func(context.Context) (time.Time, error) { return time.Now().Add(-time.Hour), nil })

		_, _, err := f.sweep.Status(t.Context(), sweep.Selection{})

		if err == nil {
			t.Error("ages were taken from a clock that is an hour off")
		}
	})
}

type timeSource func(context.Context) (time.Time, error)

func (f timeSource) Time(ctx context.Context) (time.Time, error) { return f(ctx) }
