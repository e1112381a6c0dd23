package main

import (
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"text/tabwriter"
)

// row is one line of the table. A higher ratio is better: for values such as memory,
// where less is better, it is the bound divided by the measured value.
type row struct {
	Key      string  `json:"key"`
	What     string  `json:"what"`
	Against  string  `json:"against"`
	Unit     string  `json:"unit"`
	Measured float64 `json:"measured"`
	Baseline float64 `json:"baseline,omitempty"`
	Ratio    float64 `json:"ratio,omitempty"` // 0: nothing to compare with
	Low      float64 `json:"low,omitempty"`   // of the repetitions' ratios
	High     float64 `json:"high,omitempty"`
	Target   float64 `json:"target,omitempty"` // of the ratio; 0: none
	Bound    bool    `json:"bound,omitempty"`  // the baseline is a bound and was not measured
	// Tolerance is how much of the stored ratio a check tolerates; if it is 1 for a row
	// with a bound, only the bound counts.
	Tolerance float64 `json:"tolerance"`
	Tenants   int     `json:"tenants,omitempty"`
	Servers   int     `json:"servers,omitempty"`
	Note      string  `json:"note,omitempty"`
}

// order is the order of the table, by the rows' keys.
func order() []string {
	return []string{
		"scan", "rotations", "emergency", "proof", "verification", "script", "slow", "slow-many", "cluster-2", "cluster-4", "cluster-8", "memory",
		"requests-scan", "requests-rotation", "requests-cluster",
		"idle-rss", "idle-cpu", "idle-wakeups", "start", "binary",
	}
}

func sortRows(rows []row) {
	slices.SortStableFunc(rows, func(a, b row) int { return slices.Index(order(), a.Key) - slices.Index(order(), b.Key) })
}

func (r row) met() bool { return r.Target == 0 || r.Ratio >= r.Target }

// compared sets the ratio from pairs of measurements.
func (r row) compared(measured, baseline, ratios series) row {
	r.Measured, r.Baseline = measured.median(), baseline.median()
	r.Ratio = ratios.median()
	r.Low, r.High = math.Inf(1), 0
	for _, ratio := range ratios {
		r.Low, r.High = min(r.Low, ratio), max(r.High, ratio)
	}
	return r
}

// bounded sets the ratio to an upper bound.
func (r row) bounded(measured, bound float64) row {
	r.Measured, r.Baseline, r.Bound, r.Target = measured, bound, true, 1
	r.Ratio = bound / max(measured, bound/1000) // at most a thousand, for a measurement near zero
	return r
}

// cells are the printed columns of the row.
func (r row) cells() []string {
	baseline, ratio, target := "", "", ""
	if r.Baseline != 0 {
		baseline = figure(r.Baseline) + " " + r.Unit
	}
	switch {
	case r.Ratio == 0:
	case r.Target == 0:
		ratio = figure(r.Ratio)
	case r.Bound:
		ratio, target = figure(r.Ratio), "≤ "+baseline
		baseline = ""
	case r.Tolerance == 0:
		ratio, target = figure(r.Ratio), "exactly"
	default:
		ratio, target = figure(r.Ratio), "≥ "+figure(r.Target)
	}
	if ratio != "" && r.High > 0 {
		ratio += fmt.Sprintf(" (%s–%s)", figure(r.Low), figure(r.High))
	}
	if !r.met() {
		target += ", missed"
	}
	return []string{r.What, r.Against, figure(r.Measured) + " " + r.Unit, baseline, ratio, target}
}

var headings = []string{"what", "against", "measured", "baseline", "ratio", "target"}

// figure formats three significant digits, and all digits before the point.
func figure(v float64) string {
	if v == 0 || math.IsInf(v, 0) || math.IsNaN(v) {
		return fmt.Sprint(v)
	}
	digits := 2 - int(math.Floor(math.Log10(math.Abs(v))))
	text := strconv.FormatFloat(v, 'f', max(digits, 0), 64)
	if digits > 0 {
		return text
	}
	return thousands(text)
}

func thousands(digits string) string {
	for i := len(digits) - 3; i > 0; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	return digits
}

func printTable(out io.Writer, rows []row) error {
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	for _, cells := range append([][]string{headings}, cellsOf(rows)...) {
		for _, cell := range cells {
			fmt.Fprint(table, cell, "\t")
		}
		fmt.Fprintln(table)
	}
	return table.Flush()
}

func cellsOf(rows []row) (all [][]string) {
	for _, r := range rows {
		all = append(all, r.cells())
	}
	return all
}
