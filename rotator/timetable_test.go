package rotator_test

import (
	"testing"
	"time"
	_ "time/tzdata" // the zones below, on every host

	"mailu-rotator/rotator"
	"mailu-rotator/rotator/rotatortest"
)

func TestTicksWhereClocksJump(t *testing.T) {
	const berlin, newYork, lordHowe = "Europe/Berlin", "America/New_York", "Australia/Lord_Howe"
	tests := []struct {
		name, zone, schedule string
		after                string
		want                 []string // with the clock's offset at that time
	}{
		{"in the skipped hour", berlin, "30 2 * * *", "2026-03-28T12:00:00+01:00",
			[]string{"2026-03-29T03:00:00+02:00", "2026-03-30T02:30:00+02:00"}},
		{"several in the skipped hour are one", berlin, "*/15 2 * * *", "2026-03-28T12:00:00+01:00",
			[]string{"2026-03-29T03:00:00+02:00", "2026-03-30T02:00:00+02:00"}},
		{"one in it and one right after it", berlin, "0 2,3 * * *", "2026-03-29T00:00:00+01:00",
			[]string{"2026-03-29T03:00:00+02:00", "2026-03-30T02:00:00+02:00"}},
		{"each second hour", berlin, "0 */2 * * *", "2026-03-29T00:30:00+01:00",
			[]string{"2026-03-29T03:00:00+02:00", "2026-03-29T04:00:00+02:00"}},
		{"weekly, on that Sunday", berlin, "30 2 * * 0", "2026-03-23T00:00:00+01:00",
			[]string{"2026-03-29T03:00:00+02:00", "2026-04-05T02:30:00+02:00"}},
		{"yearly, on that day", berlin, "30 2 29 3 *", "2026-01-01T00:00:00+01:00",
			[]string{"2026-03-29T03:00:00+02:00", "2027-03-29T02:30:00+02:00"}},
		{"not in the skipped hour", berlin, "30 4 * * *", "2026-03-28T12:00:00+01:00",
			[]string{"2026-03-29T04:30:00+02:00"}},
		{"asked just before the gap", berlin, "30 2 * * *", "2026-03-29T01:59:59.999+01:00",
			[]string{"2026-03-29T03:00:00+02:00"}},
		{"in the doubled hour", berlin, "30 2 * * *", "2026-10-24T12:00:00+02:00",
			[]string{"2026-10-25T02:30:00+02:00", "2026-10-26T02:30:00+01:00"}},
		{"asked within the second of both hours", berlin, "30 2 * * *", "2026-10-25T02:10:00+01:00",
			[]string{"2026-10-26T02:30:00+01:00"}},
		{"several in the doubled hour come once each", berlin, "0,30 2 * * *", "2026-10-24T12:00:00+02:00",
			[]string{"2026-10-25T02:00:00+02:00", "2026-10-25T02:30:00+02:00", "2026-10-26T02:00:00+01:00"}},
		{"right after the doubled hour", berlin, "0 3 * * *", "2026-10-24T12:00:00+02:00",
			[]string{"2026-10-25T03:00:00+01:00", "2026-10-26T03:00:00+01:00"}},
		{"each quarter of an hour, forward", berlin, "*/15 * * * *", "2026-03-29T01:40:00+01:00",
			[]string{"2026-03-29T01:45:00+01:00", "2026-03-29T03:00:00+02:00", "2026-03-29T03:15:00+02:00"}},
		{"each half hour, back", berlin, "*/30 * * * *", "2026-10-25T02:15:00+02:00",
			[]string{"2026-10-25T02:30:00+02:00", "2026-10-25T02:00:00+01:00", "2026-10-25T02:30:00+01:00", "2026-10-25T03:00:00+01:00"}},
		{"hourly, past the gap's end", berlin, "30 * * * *", "2026-03-29T01:40:00+01:00",
			[]string{"2026-03-29T03:30:00+02:00"}},
		{"hours of the whole day as a range", berlin, "30 0-23 * * *", "2026-10-25T02:15:00+02:00",
			[]string{"2026-10-25T02:30:00+02:00", "2026-10-25T02:30:00+01:00"}},
		{"in America", newYork, "30 2 * * *", "2026-03-07T12:00:00-05:00",
			[]string{"2026-03-08T03:00:00-04:00", "2026-03-09T02:30:00-04:00"}},
		{"twice in America", newYork, "30 1 * * *", "2026-10-31T12:00:00-04:00",
			[]string{"2026-11-01T01:30:00-04:00", "2026-11-02T01:30:00-05:00"}},
		{"half an hour skipped", lordHowe, "15 2 * * *", "2026-10-03T12:00:00+10:30",
			[]string{"2026-10-04T02:30:00+11:00", "2026-10-05T02:15:00+11:00"}},
		{"half an hour doubled", lordHowe, "45 1 * * *", "2026-04-04T12:00:00+11:00",
			[]string{"2026-04-05T01:45:00+11:00", "2026-04-06T01:45:00+10:30"}},
		{"midnight skipped", "America/Sao_Paulo", "0 0 * * *", "2018-11-03T12:00:00-03:00",
			[]string{"2018-11-04T01:00:00-02:00", "2018-11-05T00:00:00-02:00"}},
		{"midnight of that Sunday skipped", "America/Sao_Paulo", "@weekly", "2018-11-01T12:00:00-03:00",
			[]string{"2018-11-04T01:00:00-02:00", "2018-11-11T00:00:00-02:00"}},
		{"the hour before midnight doubled", "America/Sao_Paulo", "30 23 * * 6", "2018-02-17T12:00:00-02:00",
			[]string{"2018-02-17T23:30:00-02:00", "2018-02-24T23:30:00-03:00"}},
		{"the day after that hour, hourly", "America/Sao_Paulo", "0 * 18 * *", "2018-02-17T22:30:00-02:00",
			[]string{"2018-02-18T00:00:00-03:00", "2018-02-18T01:00:00-03:00"}},
		{"a gap from one minute past midnight", "Asia/Gaza", "30 0 * * *", "2011-03-31T12:00:00+02:00",
			[]string{"2011-04-01T01:01:00+03:00"}},
		{"a day skipped", "Pacific/Apia", "0 3 * * *", "2011-12-29T12:00:00-10:00",
			[]string{"2011-12-31T00:00:00+14:00", "2011-12-31T03:00:00+14:00"}},
		{"the day of the week skipped", "Pacific/Apia", "0 3 * * 5", "2011-12-29T12:00:00-10:00",
			[]string{"2011-12-31T00:00:00+14:00", "2012-01-06T03:00:00+14:00"}},
		{"no jump at all", "UTC", "30 2 * * *", "2026-03-28T12:00:00Z",
			[]string{"2026-03-29T02:30:00Z", "2026-03-30T02:30:00Z"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			zone, err := time.LoadLocation(test.zone)
			if err != nil {
				t.Fatal(err)
			}
			schedule := rotatortest.Cron(t, test.schedule)
			at := rotatortest.Time(t, test.after).In(zone)
			for i, want := range test.want {
				at = rotator.NextTick(schedule, at)
				if got := at.Format(time.RFC3339Nano); got != want {
					t.Fatalf("tick %d is %s, want %s", i, got, want)
				}
			}
		})
	}
}

// The next tick does not depend on when it is computed: a daemon that starts within the
// gap or the doubled hour gets the same result as one that ran through it.
func TestTicksDoNotDependOnWhoAsksWhen(t *testing.T) {
	for _, zone := range []string{"Europe/Berlin", "Australia/Lord_Howe", "Pacific/Apia", "America/Sao_Paulo"} {
		location, err := time.LoadLocation(zone)
		if err != nil {
			t.Fatal(err)
		}
		for _, jump := range []string{"2026-03-29T01:00:00Z", "2026-10-25T01:00:00Z", "2026-10-03T15:30:00Z", "2026-04-04T15:00:00Z", "2011-12-30T10:00:00Z", "2018-11-04T03:00:00Z"} {
			for _, spec := range []string{"30 2 * * *", "*/20 1-3 * * *", "*/25 * * * *", "0 0 * * *", "59 23 * * *"} {
				schedule := rotatortest.Cron(t, spec)
				begin := rotatortest.Time(t, jump).Add(-5 * time.Hour).In(location)
				next := rotator.NextTick(schedule, begin)
				for at := begin; at.Before(begin.Add(10 * time.Hour)); at = at.Add(7 * time.Minute) {
					if !at.Before(next) {
						next = rotator.NextTick(schedule, next)
					}
					if got := rotator.NextTick(schedule, at); at.Before(next) && !got.Equal(next) || !got.After(at) {
						t.Fatalf("%s in %s: at %s the next one is %s, want %s", spec, zone, at, got, next)
					}
				}
			}
		}
	}
}

func TestEveryIsTheSameAfterARestart(t *testing.T) {
	for _, test := range []struct{ every, after, want string }{
		{"@every 6h", "2026-11-28T19:46:51.37Z", "2026-11-29T00:00:00Z"},
		{"@every 24h", "2026-11-28T19:46:51Z", "2026-11-29T00:00:00Z"},
		{"@every 24h", "2026-11-29T00:00:00Z", "2026-11-30T00:00:00Z"},
		{"@every 168h", "2026-11-28T19:46:51Z", "2026-11-30T00:00:00Z"}, // a Monday
		{"@every 90m", "2026-11-28T00:00:01Z", "2026-11-28T01:30:00Z"},
		{"@every 1s", "2026-11-28T00:00:00.9Z", "2026-11-28T00:00:01Z"},
	} {
		if got := rotator.NextTick(rotatortest.Cron(t, test.every), rotatortest.Time(t, test.after)); !got.Equal(rotatortest.Time(t, test.want)) {
			t.Errorf("%s after %s: %s, want %s", test.every, test.after, got, test.want)
		}
	}
}
