package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"syscall"
	"time"

	"mailu-rotator/rotator"
	"mailu-rotator/rotator/sweep"
)

const (
	checkInTime   = "in time"
	checkLastRuns = "last runs"
)

// fleet adds to the issues of the records which tenants are overdue, and which ones the
// daemon's last runs left behind. Mailu is not asked again.
func (d *doctor) fleet(ctx context.Context, found *sweep.Examination) []rotator.Check {
	known, _, err := askDaemon(ctx, d.app.cfg.Listen)
	rows := newStatusReport(found.Statuses, known, time.Now(), timetableOf(d.app.cfg.Rotation)).Tenants
	var late, failed, unverified []rotator.Issue
	drifting := 0
	for _, row := range rows {
		switch {
		case row.State == rotator.PolicyStateOverdue:
			late = append(late, d.overdue(row))
		case row.leftBehind():
			failed = append(failed, d.issue(row, rotator.IssueFailed, row.last(), "--run-now --due-only"))
		}
		if last := known[row.Tenant]; last.State != "" && !row.rotatedAfter(last.Since) {
			unverified = append(unverified, d.unverified(row, last.State, last.Since))
			if last.State == rotator.StateDrift {
				drifting++
			}
		}
	}
	serious := found.Serious()
	found.Issues = slices.Concat(found.Issues[:serious], late, failed, found.Issues[serious:], unverified)

	inTime := rotator.Passed(checkInTime, fmt.Sprintf("%d overdue", len(late)))
	if len(late) > 0 {
		inTime.State, inTime.Fix = rotator.CheckFailed, d.command("--run-now --due-only")
	}
	if err != nil {
		return []rotator.Check{inTime, rotator.Warned(checkLastRuns, err.Error(), startDaemon(err))}
	}
	if d.app.cfg.Listen.Address == "" { // there may be no daemon, as beside a timer
		return []rotator.Check{inTime}
	}
	lastRuns := rotator.Passed(checkLastRuns, fmt.Sprintf("%d failed, %d unverified, says the daemon at %s", len(failed), len(unverified), d.app.cfg.Listen.Address))
	if drifting > 1 {
		lastRuns.Found += fmt.Sprintf("; %s drift: %s", tenants(drifting), restoredBackup)
	}
	switch {
	case len(failed) > 0:
		lastRuns.State, lastRuns.Fix = rotator.CheckFailed, d.command("--run-now --due-only")
	case len(unverified) > 0:
		lastRuns.State, lastRuns.Fix = rotator.CheckWarned, d.command("verify")
	}
	return []rotator.Check{inTime, lastRuns}
}

func startDaemon(err error) string {
	if errors.Is(err, syscall.ECONNREFUSED) || errors.Is(err, fs.ErrNotExist) {
		return "systemctl enable --now mailu-rotator"
	}
	return "systemctl status mailu-rotator"
}

// leftBehind reports whether the last run failed for a reason that the record does not
// show: the others are issues of the record.
func (s statusRow) leftBehind() bool {
	return slices.Contains([]rotator.Outcome{rotator.Failed, rotator.Refused, rotator.Blocked}, s.Outcome)
}

func (s statusRow) rotatedAfter(t time.Time) bool {
	rotated, err := time.Parse(time.RFC3339, s.LastRotated)
	return err == nil && rotated.After(t)
}

func (d *doctor) overdue(row statusRow) rotator.Issue {
	reason := fmt.Sprintf("overdue: %s old, its policy is %s; last outcome: %s", row.AgeSeconds, row.Policy, row.last())
	return d.issue(row, rotator.IssueOverdue, reason, "--run-now --due-only")
}

// unverified is about a moment in the past: somebody may have repaired it by hand since.
func (d *doctor) unverified(row statusRow, state rotator.State, since time.Time) rotator.Issue {
	verify := "verify"
	if state == rotator.StateDrift || state == rotator.StateUnreadable {
		verify = "verify --repair"
	}
	reason := fmt.Sprintf("%s, says the verification of %s", state, since.UTC().Format(time.RFC3339))
	return d.issue(row, rotator.IssueUnverified, reason, verify)
}

func (d *doctor) issue(row statusRow, kind rotator.IssueKind, reason, command string) rotator.Issue {
	return rotator.Issue{
		Tenant: row.Tenant, User: row.User, Kind: kind, Serious: kind.Serious(), Reason: reason,
		Fix: d.command(command + " --tenant " + row.Tenant),
	}
}
