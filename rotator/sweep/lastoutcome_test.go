package sweep_test

import (
	"strings"
	"testing"
	"time"

	"mailu-rotator/rotator"
	"mailu-rotator/rotator/status"
)

// begun leaves a password pending since that time, with a claim of five minutes that
// was rewritten that often.
func begun(ago time.Duration, takeovers int) func(*rotator.Candidate) {
	return func(c *rotator.Candidate) {
		made := noon.Add(-ago)
		c.Credential.Pending = &rotator.Pending{
			LastRotated: made.Format(time.RFC3339),
			Claim:       rotator.Claim{Owner: "ops1/7/ab", Until: made.Add(5 * time.Minute), Takeovers: takeovers},
		}
	}
}

func stamped(lastRotated string) func(*rotator.Candidate) {
	return func(c *rotator.Candidate) { c.Credential.LastRotated = lastRotated }
}

func TestLastOutcomeThatARecordShows(t *testing.T) {
	tests := []struct {
		name      string
		candidate rotator.Candidate
		outcome   rotator.Outcome
		at        time.Time
		reason    string
	}{
		{"at rest", entry(t1, 3), rotator.Rotated, noon.AddDate(0, 0, -3), ""},
		{"never rotated", entry(t1, 0, undated), "", time.Time{}, ""},
		{"a timestamp of next year", entry(t1, -365), "", time.Time{}, ""},
		{"no timestamp at all", entry(t1, 0, stamped("yesterday")), "", time.Time{}, ""},
		{"a live claim", entry(t1, 3, begun(time.Minute, 0)), rotator.Claimed, noon.Add(-time.Minute), "by ops1/7/ab, until 2026"},
		{"a lapsed claim", entry(t1, 3, begun(time.Hour, 5)), rotator.Unfinished, noon.Add(-time.Hour), "half-finished rotation by ops1/7/ab"},
		{"six take-overs", entry(t1, 3, begun(time.Hour, 6)), rotator.Stuck, noon.Add(-time.Hour), "taken over 6 times"},
		{"six take-overs, the last one just now", entry(t1, 3, begun(time.Minute, 6)), rotator.Claimed, noon.Add(-time.Minute), "until"},
		{"malformed", entry(t1, 3, malformed), rotator.Invalid, time.Time{}, "malformed"},
		{"not a tenant", entry(t1, 0, foreign), rotator.Ignored, time.Time{}, "not a tenant id"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			outcome, at, reason := rotator.StatusOf(noon, test.candidate, 1).LastOutcome(noon)

			if outcome != test.outcome || !at.Equal(test.at) || !strings.Contains(reason, test.reason) || (reason == "") != (test.reason == "") {
				t.Errorf("got %q, %s, %q", outcome, at, reason)
			}
		})
	}
}

func TestLastOutcomeOfADaemonIsBetterThanTheRecords(t *testing.T) {
	e := status.Entry{Status: rotator.StatusOf(noon, entry(t1, 3), 1)}
	if outcome, _, _ := e.LastOutcome(noon); outcome != rotator.Rotated {
		t.Errorf("before any run: %q", outcome)
	}

	e.Outcome, e.At, e.Reason = rotator.Failed, noon.Add(-time.Hour), "the user is gone"

	if outcome, at, reason := e.LastOutcome(noon); outcome != rotator.Failed || !at.Equal(e.At) || reason != e.Reason {
		t.Errorf("after a run: %q, %s, %q", outcome, at, reason)
	}
}

func TestWhatTheRecordShowsNewerComesBeforeWhatIsRemembered(t *testing.T) {
	for name, test := range map[string]struct {
		candidate rotator.Candidate
		outcome   rotator.Outcome
		want      rotator.Outcome
	}{
		"somebody rotated it since":        {entry(t1, 3), rotator.Failed, rotator.Rotated},
		"nothing was to be done":           {entry(t1, 3), rotator.Fresh, rotator.Rotated},
		"the record was malformed since":   {entry(t1, 3, malformed), rotator.Rotated, rotator.Invalid},
		"the record tells nothing of time": {entry(t1, 0, undated), rotator.Failed, rotator.Failed},
	} {
		e := status.Entry{Status: rotator.StatusOf(noon, test.candidate, 1), Outcome: test.outcome, At: noon.AddDate(0, 0, -9)}

		if outcome, _, _ := e.LastOutcome(noon); outcome != test.want {
			t.Errorf("%s: %q, want %q", name, outcome, test.want)
		}
	}
}

func TestProblemsAreWhatNoSweepWillFix(t *testing.T) {
	tests := []struct {
		name      string
		candidate rotator.Candidate
		want      bool
	}{
		{"ok", entry(t1, 1), false},
		{"due", entry(t1, 30), false},
		{"manual, however old", entry(t1, 999, manual), false},
		{"of unknown age", entry(t1, 0, undated), false},
		{"not a tenant", entry(t1, 0, foreign), false},
		{"overdue", entry(t1, 32), true},
		{"invalid", entry(t1, 1, malformed), true},
		{"half-finished since the last sweep", entry(t1, 999, begun(9*time.Hour, 0)), false},
		{"half-finished before the last sweep", entry(t1, 1, begun(33*time.Hour, 0)), true},
		{"half-finished, and nobody knows since when", entry(t1, 1, pending), true},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			status := rotator.StatusOf(noon, test.candidate, 1)

			if got := status.Problem(noon, nightly(t)); got != test.want {
				t.Errorf("got %t", got)
			}
		})
	}
}
