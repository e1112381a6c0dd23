package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/pflag"

	"mailu-rotator/internal/config"
	"mailu-rotator/rotator"
	"mailu-rotator/rotator/sweep"
)

// runNowFlags are the flags of --run-now, as given.
type runNowFlags struct {
	selectionFlags
	dueOnly       bool
	rotatedBefore string
	limit         uint
	dryRun        bool
	output        string
}

func (f *runNowFlags) register(flags *pflag.FlagSet) {
	f.selectionFlags.register(flags)
	flags.BoolVar(&f.dueOnly, "due-only", false, "only tenants that are due, as the daemon does")
	flags.StringVar(&f.rotatedBefore, "rotated-before", "", "only tenants last rotated before this `time` (RFC 3339 or a date; default the start of this run)")
	flags.UintVar(&f.limit, "limit", 0, "start at most this many rotations (0 means no limit)")
	flags.BoolVar(&f.dryRun, "dry-run", false, "show what would be done and change nothing")
	registerOutput(flags, &f.output)
}

// selection checks the flags against each other and the configuration.
func (f *runNowFlags) selection(cfg *config.Config) (sel sweep.Selection, err error) {
	sel = sweep.Selection{All: !f.dueOnly, Limit: int(f.limit)}
	if err := checkOutput(f.output); err != nil {
		return sel, err
	}
	if f.dueOnly && f.rotatedBefore != "" {
		return sel, errors.New("--due-only and --rotated-before exclude each other")
	}
	if sel.RotatedBefore, err = parseTime(f.rotatedBefore); err != nil {
		return sel, fmt.Errorf("--rotated-before: %w", err)
	}
	err = f.restrict(&sel, cfg)
	return sel, err
}

func parseTime(s string) (time.Time, error) {
	if s == "" {
		return time.Time{}, nil
	}
	for _, layout := range []string{time.RFC3339, time.DateOnly} {
		if t, err := time.Parse(layout, s); err == nil {
			return t, nil
		}
	}
	return time.Time{}, fmt.Errorf("%q is neither like 2026-01-02T15:04:05Z nor like 2026-01-02", s)
}

// runNow is --run-now.
func runNow(ctx context.Context, path string, flags runNowFlags, stdout, stderr io.Writer) error {
	var report sweep.Report
	interrupted, err := runOnce(ctx, path, stderr, func(ctx context.Context, a *app) error {
		sel, err := flags.selection(a.cfg)
		if err != nil {
			return err
		}
		report, err = a.report(ctx, sel, flags.dryRun)
		return err
	})
	if err != nil {
		return err
	}
	if err := printReport(stdout, report, flags.output); err != nil {
		return err
	}
	return exitStatus(report, interrupted)
}

func (a *app) report(ctx context.Context, sel sweep.Selection, dryRun bool) (report sweep.Report, err error) {
	err = a.with(ctx, func(s *sweep.Sweep) error {
		s.DryRun = dryRun
		report, err = s.Run(ctx, sel, 0)
		return err
	})
	if !dryRun {
		a.refused(ctx, rotator.SweepRefused, err)
	}
	return report, err
}

func exitStatus(report sweep.Report, interrupted bool) error {
	return statusOf(report.Failures(), interrupted)
}
