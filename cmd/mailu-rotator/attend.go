package main

import (
	"context"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"

	"mailu-rotator/rotator"
)

// attendedPatience is how long one call waits for a Vault that does not answer while an
// operator watches; the daemon waits longer.
const attendedPatience = time.Minute

// attend does work once for an operator who watches: with a progress bar on a terminal,
// until a signal interrupts it. If the interrupt left nothing to print, attend returns
// it as the error.
func attend(ctx context.Context, path string, stderr io.Writer, work func(context.Context, *fleet) error) (interrupted bool, err error) {
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // a second signal ends the program immediately

	bar := newProgress(stderr)
	fleet, log, err := loadFleet(path, bar, nil)
	if err != nil {
		return false, err
	}
	defer log.sync()
	fleet.patience = attendedPatience
	fleet.observe = func(e rotator.Event) { log.observe(e); bar.observe(e) }
	hooks := startHooks(fleet)
	err = work(ctx, fleet)
	bar.end()
	closeHooks(ctx, hooks)
	log.sync() // before the report, which may go to the same terminal
	if err != nil && ctx.Err() != nil {
		return true, &statusError{code: exitInterrupted}
	}
	return ctx.Err() != nil, err
}

func statusOf(failures int, interrupted bool) error {
	switch {
	case interrupted:
		return &statusError{code: exitInterrupted}
	case failures > 0:
		return &statusError{code: exitFailures}
	}
	return nil
}
