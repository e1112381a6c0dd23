package simulation

import (
	"fmt"
	"strings"
	"text/tabwriter"
)

// Table shows the state space, a row per scenario and their sum: states, steps,
// schedules and ends; states with each excuse; ends that were excused on the way and
// are whole, and ends that are not, by excuse.
func Table(results []Result) string {
	var text strings.Builder
	table := tabwriter.NewWriter(&text, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(table, "scenario\tstates\tsteps\tschedules\tends\toverdue\tstray\toperator\tdeleted\thealed\tleft overdue\tstray\toperator\tdeleted\t")
	sum := Result{Scenario: fmt.Sprintf("%d scenarios", len(results)), Excused: map[Excuse]int{}, Limits: map[Excuse]int{}}
	for _, r := range results {
		sum.add(r)
		r.row(table)
	}
	sum.row(table)
	_ = table.Flush() // a strings.Builder never fails
	return text.String()
}

func (r *Result) add(other Result) {
	r.States += other.States
	r.Steps += other.Steps
	r.Schedules += other.Schedules
	r.Ends += other.Ends
	r.Healed += other.Healed
	for _, e := range []Excuse{Overdue, Stray, Overwritten, Deleted} {
		r.Excused[e] += other.Excused[e]
		r.Limits[e] += other.Limits[e]
	}
}

func (r *Result) row(table *tabwriter.Writer) {
	fmt.Fprintf(table, "%s\t%d\t%d\t%.3g\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t\n", r.Scenario, r.States, r.Steps, r.Schedules, r.Ends,
		r.Excused[Overdue], r.Excused[Stray], r.Excused[Overwritten], r.Excused[Deleted], r.Healed,
		r.Limits[Overdue], r.Limits[Stray], r.Limits[Overwritten], r.Limits[Deleted])
}
