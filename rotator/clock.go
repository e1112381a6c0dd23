package rotator

import (
	"context"
	"fmt"
	"time"
)

// SystemClock is the host's clock.
type SystemClock struct{}

// Now implements [Clock].
func (SystemClock) Now() time.Time { return time.Now() }

// Sleep implements [Clock].
func (SystemClock) Sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}

// ClockSkewError refuses a run: ages, claims and the timestamps of keys would be wrong.
type ClockSkewError struct {
	Skew time.Duration // the host's clock minus Vault's
}

func (e *ClockSkewError) Error() string {
	return fmt.Sprintf("%s (more than %s): nothing was changed; check the time service on both", e.distance(), maxSkew)
}

func (e *ClockSkewError) distance() string {
	direction := "ahead of"
	if e.Skew < 0 {
		direction = "behind"
	}
	return fmt.Sprintf("this host's clock is %s %s Vault's", e.Skew.Abs().Round(time.Second), direction)
}

// TimeSource returns the time that all hosts share, Vault's.
type TimeSource interface {
	Time(ctx context.Context) (time.Time, error)
}

// sharedClock is corrected to Vault's, so that claims and timestamps of all hosts compare.
type sharedClock struct {
	Clock
	correction time.Duration
}

func (c sharedClock) Now() time.Time { return c.Clock.Now().Add(c.correction) }

const (
	// MinSkew is the smallest difference that is corrected: Vault's time has whole seconds.
	MinSkew = 2 * time.Second
	// maxAsking bounds how long a comparison may take, since half of it is its error.
	maxAsking = 2 * time.Second
	// maxComparisons bounds the number of tries.
	maxComparisons = 5
)

// GuardClock compares the host's clock with the shared one, and returns the run's clock.
func GuardClock(ctx context.Context, clock Clock, source TimeSource) (Clock, error) {
	skew, err := compareClocks(ctx, clock, source)
	switch {
	case err != nil:
		return nil, err
	case skew.Abs() > maxSkew:
		return nil, &ClockSkewError{Skew: skew}
	case skew.Abs() < MinSkew:
		return clock, nil
	}
	return sharedClock{Clock: clock, correction: -skew}, nil
}

// compareClocks returns the host's clock minus the shared one.
func compareClocks(ctx context.Context, clock Clock, source TimeSource) (time.Duration, error) {
	for range maxComparisons {
		before := clock.Now()
		shared, err := source.Time(ctx)
		if err != nil {
			return 0, fmt.Errorf("compare clocks: %w", err)
		}
		asking := clock.Now().Sub(before)
		if asking.Abs() <= maxAsking { // below zero: the clock was set back in between
			return before.Add(asking / 2).Sub(shared), nil
		}
	}
	return 0, fmt.Errorf("compare clocks: %d answers in a row took more than %s each: see to Vault", maxComparisons, maxAsking)
}

// CheckClock compares the host's clock with the one that all hosts share.
func CheckClock(ctx context.Context, clock Clock, source TimeSource) Check {
	const name, fix = "clock", "timedatectl set-ntp true"
	skew, err := compareClocks(ctx, clock, source)
	switch {
	case err != nil:
		return Broken(name, err.Error(), "vault read -format=json sys/health")
	case skew.Abs() < MinSkew:
		return Passed(name, fmt.Sprintf("less than %s from Vault's", MinSkew))
	}
	refusal := &ClockSkewError{Skew: skew}
	if skew.Abs() > maxSkew {
		return Broken(name, fmt.Sprintf("%s; no run begins beyond %s", refusal.distance(), maxSkew), fix)
	}
	return Warned(name, refusal.distance()+"; runs use Vault's clock, and are refused beyond a difference of "+maxSkew.String(), fix)
}
