package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"syscall"
	"time"

	"github.com/spf13/pflag"

	"mailu-rotator/config"
	"mailu-rotator/rotator"
)

// runNowFlags are the flags of --run-now, as given.
type runNowFlags struct {
	tenants       []string
	servers       []string
	dueOnly       bool
	rotatedBefore string
	limit         uint
	dryRun        bool
	output        string
}

func (f *runNowFlags) register(flags *pflag.FlagSet) {
	flags.StringArrayVar(&f.tenants, "tenant", nil, "only the tenant with this `id` (repeatable)")
	flags.StringArrayVar(&f.servers, "server", nil, "only tenants of the Mailu server with this `origin` (repeatable)")
	flags.BoolVar(&f.dueOnly, "due-only", false, "only tenants that are due, as the daemon does")
	flags.StringVar(&f.rotatedBefore, "rotated-before", "", "only tenants last rotated before this `time` (RFC 3339 or a date; default the start of this run)")
	flags.UintVar(&f.limit, "limit", 0, "begin at most so many rotations (0 means no limit)")
	flags.BoolVar(&f.dryRun, "dry-run", false, "show what would be done and change nothing")
	flags.StringVar(&f.output, "output", "table", "`format` of the result: table or json")
}

// selection checks the flags against each other and the configuration.
func (f *runNowFlags) selection(cfg *config.Config) (sel rotator.Selection, err error) {
	sel = rotator.Selection{All: !f.dueOnly, Limit: int(f.limit)}
	if f.output != "table" && f.output != "json" {
		return sel, fmt.Errorf("--output %q is neither table nor json", f.output)
	}
	if f.dueOnly && f.rotatedBefore != "" {
		return sel, errors.New("--due-only and --rotated-before exclude each other")
	}
	if sel.RotatedBefore, err = parseTime(f.rotatedBefore); err != nil {
		return sel, fmt.Errorf("--rotated-before: %w", err)
	}
	for _, name := range f.tenants {
		tenant, err := rotator.ParseTenantID(name)
		if err != nil {
			return sel, fmt.Errorf("--tenant: %w", err)
		}
		if !slices.Contains(sel.Tenants, tenant) {
			sel.Tenants = append(sel.Tenants, tenant)
		}
	}
	for _, raw := range f.servers {
		origin, err := rotator.ParseOrigin(raw)
		if err != nil {
			return sel, fmt.Errorf("--server: %w", err)
		}
		if !slices.ContainsFunc(cfg.Mailu.Servers, func(s config.Server) bool { return s.Origin == origin }) {
			return sel, fmt.Errorf("--server: %s is not among mailu.servers in the configuration", origin)
		}
		sel.Origins = append(sel.Origins, origin)
	}
	return sel, nil
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

// emergencyPatience is how long one call waits for a Vault that does not answer
// while somebody watches; the daemon has more.
const emergencyPatience = time.Minute

// runOnce is --run-now.
func runOnce(ctx context.Context, path string, flags runNowFlags, stdout, stderr io.Writer) error {
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // a second signal ends the program at once

	bar := newProgress(stderr)
	fleet, log, err := loadFleet(path, bar, nil)
	if err != nil {
		return err
	}
	defer log.sync()
	sel, err := flags.selection(fleet.cfg)
	if err != nil {
		return err
	}
	fleet.patience = emergencyPatience
	fleet.observe = func(e rotator.Event) { log.observe(e); bar.observe(e) }
	report, err := fleet.report(ctx, sel, flags.dryRun)
	bar.end()
	switch {
	case err != nil && ctx.Err() != nil:
		return &statusError{code: exitInterrupted}
	case err != nil:
		return err
	}
	if err := printReport(stdout, report, flags.output); err != nil {
		return err
	}
	return status(report, ctx.Err() != nil)
}

func (f *fleet) report(ctx context.Context, sel rotator.Selection, dryRun bool) (report rotator.Report, err error) {
	err = f.with(ctx, func(s *rotator.Sweep) error {
		if dryRun {
			report, err = s.Plan(ctx, sel)
		} else {
			report, err = s.Run(ctx, sel, 0)
		}
		return err
	})
	return report, err
}

func status(report rotator.Report, interrupted bool) error {
	switch {
	case interrupted:
		return &statusError{code: exitInterrupted}
	case report.Failures() > 0:
		return &statusError{code: exitFailures}
	}
	return nil
}
