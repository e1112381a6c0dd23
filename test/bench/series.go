package main

import (
	"context"
	"fmt"
	"slices"
)

// series are repetitions of one measurement.
type series []float64

func (s series) median() float64 {
	sorted := slices.Sorted(slices.Values(s))
	if n := len(sorted); n%2 == 0 {
		return (sorted[n/2-1] + sorted[n/2]) / 2
	}
	return sorted[len(sorted)/2]
}

// measure is one repetition.
type measure func(context.Context) (float64, error)

// interleave repeats all measurements in turn, A B A B …, so that other load on the
// machine affects all of them alike.
func (b *bench) interleave(ctx context.Context, all ...measure) ([]series, error) {
	taken := make([]series, len(all))
	for repetition := range b.size.Repetitions {
		for i, m := range all {
			value, err := m(ctx)
			if err != nil {
				return nil, err
			}
			taken[i] = append(taken[i], value)
			b.progress(fmt.Sprintf("  %d of %d: %c %.4g", repetition+1, b.size.Repetitions, 'A'+rune(i), value))
		}
	}
	return taken, nil
}

// ratios are the ratios of each repetition's pair.
func ratios(a, b series) series {
	var all series
	for i := range a {
		all = append(all, a[i]/b[i])
	}
	return all
}
