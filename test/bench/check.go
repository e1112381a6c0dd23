package main

import (
	"fmt"
	"io"
	"slices"
)

// regression is a ratio that is worse than the stored one by more than the tolerance.
type regression struct {
	row
	kept  float64
	least float64
}

// compare finds the regressions among newly measured rows. Better is always accepted. A
// row without stored results cannot be judged, nor one without a ratio. With a
// tolerance of 1 only the target counts.
func compare(kept, found []row) (worse []regression) {
	for _, now := range found {
		i := slices.IndexFunc(kept, func(k row) bool { return k.Key == now.Key })
		if i < 0 || kept[i].Ratio == 0 {
			continue
		}
		least := kept[i].Ratio * (1 - kept[i].Tolerance)
		if kept[i].Tolerance == 1 {
			least = kept[i].Target
		}
		if now.Ratio < least {
			worse = append(worse, regression{row: now, kept: kept[i].Ratio, least: least})
		}
	}
	return worse
}

// check compares new results with the stored ones and reports regressions.
func check(out io.Writer, file string, found results) error {
	kept, err := load(file)
	if err != nil {
		return fmt.Errorf("nothing to compare with: %w: make bench", err)
	}
	if kept.Host.Cores != found.Host.Cores || kept.Host.Vault != found.Host.Vault {
		fmt.Fprintf(out, "\nkept on %d cores and Vault %s, taken on %d and %s: ratios may differ for that alone\n",
			kept.Host.Cores, kept.Host.Vault, found.Host.Cores, found.Host.Vault)
	}
	worse := compare(kept.Rows, found.Rows)
	for _, r := range worse {
		fmt.Fprintf(out, "\nworse: %s: the ratio is %s, was %s, and at least %s is wanted\n", r.What, figure(r.Ratio), figure(r.kept), figure(r.least))
	}
	if len(worse) > 0 {
		return errWorse
	}
	fmt.Fprintf(out, "\nno ratio is worse than in %s\n", file)
	return nil
}
