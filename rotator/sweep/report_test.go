package sweep_test

import (
	"testing"

	"mailu-rotator/rotator"
	"mailu-rotator/rotator/sweep"
)

func TestReportsCountTheirRows(t *testing.T) {
	report := sweep.Report{Rows: []sweep.Row{
		{Outcome: rotator.Rotated}, {Outcome: rotator.Rotated}, {Outcome: rotator.Fresh}, {Outcome: rotator.Stuck}, {Outcome: rotator.Invalid},
	}}

	if report.Count(rotator.Rotated) != 2 || report.Count(rotator.Deferred) != 0 || report.Failures() != 2 || !report.Incomplete() {
		t.Errorf("got %d rotated, %d failures", report.Count(rotator.Rotated), report.Failures())
	}
}

func TestWhichOutcomesAreFailures(t *testing.T) {
	failures := map[rotator.Outcome]bool{
		rotator.Planned: false, rotator.Rotated: false, rotator.Finished: false, rotator.Fresh: false, rotator.Deferred: false, rotator.Ignored: false, rotator.Restored: false,
		rotator.Added: false, rotator.Resealed: false,
		rotator.Refused: true, rotator.Unfinished: true, rotator.Stuck: true, rotator.Claimed: true, rotator.Blocked: true, rotator.Failed: true, rotator.Invalid: true,
	}
	for _, outcome := range rotator.Outcomes() {
		want, listed := failures[outcome]
		if outcome.Failure() != want || !listed {
			t.Errorf("%s: a failure is %t (listed here: %t)", outcome, outcome.Failure(), listed)
		}
	}
	if len(rotator.Outcomes()) != len(failures) {
		t.Errorf("%d outcomes, %d here", len(rotator.Outcomes()), len(failures))
	}
}

func TestWhatIsDeferredLeavesAReportIncomplete(t *testing.T) {
	tests := map[rotator.Outcome]bool{rotator.Deferred: true, rotator.Failed: true, rotator.Fresh: false, rotator.Ignored: false, rotator.Rotated: false}
	for outcome, want := range tests {
		report := sweep.Report{Rows: []sweep.Row{{Outcome: outcome}}}
		if report.Incomplete() != want {
			t.Errorf("%s: incomplete is %t", outcome, !want)
		}
	}
}
