package rotator

import (
	"errors"
	"fmt"
	"slices"
	"testing"
)

var errReset = errors.New("connection reset")

func TestOutcomesThatARetryDoesNotChange(t *testing.T) {
	lasting := []Outcome{Fresh, Refused, Stuck, Deferred}
	for _, outcome := range Outcomes() {
		if got := (Result{Outcome: outcome, Err: errReset}).Permanent(); got != slices.Contains(lasting, outcome) {
			t.Errorf("%s: %t", outcome, got)
		}
	}
}

func TestErrorsThatARetryDoesNotChange(t *testing.T) {
	for err, want := range map[error]bool{
		ErrRefused: true, ErrAbsent: true, ErrMalformed: true, ErrOriginNotListed: true,
		errUnreadable: true, errNotAlone: true, errImproper: true,
		&DeletedError{Version: 3, Err: errReset}: true, &withdrawnError{"another tenant"}: true,

		ErrForbidden: false, ErrConflict: false, ErrUnavailable: false, ErrServerFailed: false,
		ErrIntercepted: false, ErrUnverifiable: false, errNotHeld: false, errRestored: false,
		errRetargeted: false, errNothingWritten: false, errReset: false,
	} {
		if got := (Result{Outcome: Unfinished, Err: fmt.Errorf("push: %w", err)}).Permanent(); got != want {
			t.Errorf("%v: %t", err, got)
		}
	}
}
