// Command wave shows the effect of rotation.spread on tenants that were imported, or
// rotated, on one day: it simulates fleets for years, and prints the rotations of each
// night, without a spread and with one. `make wave` runs it, and draws the figure in
// docs/performance.md.
//
// The program's own code decides which tenants are due, when, and in what order: [sweep.Plan],
// [rotator.Credential.DueAt] and [rotator.Status.PolicyState]. This command only simulates
// the days, and what a rotation writes to a record. The random numbers have a fixed
// seed, so two runs have the same result.
package main

import (
	"flag"
	"fmt"
	"io"
	"os"
	"text/tabwriter"
	"time"

	"mailu-rotator/rotator"
)

func main() {
	tenants := flag.Int("tenants", 100_000, "how many tenants")
	years := flag.Int("years", 2, "how long they live")
	share := flag.String("spread", "10%", "the spread that is compared with none")
	figure := flag.String("svg", "", "file to draw the nights after an import to")
	flag.Parse()

	spread, err := rotator.ParseSpread(*share)
	if err == nil {
		err = show(os.Stdout, *tenants, *years, spread, *figure)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "wave:", err)
		os.Exit(1)
	}
}

// show prints the result of each scenario without the spread and with it.
func show(out io.Writer, tenants, years int, spread rotator.Spread, figure string) error {
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintf(table, "%d tenants, %d years, 180_days\tspread\trotations\toldest\toverdue\tbusiest night of each half-year\t\n", tenants, years)
	for _, s := range scenarios(tenants, years) {
		before, after := s.live(rotator.Spread{}), s.live(spread)
		for _, l := range []life{before, after} {
			fmt.Fprintf(table, "%s\t%s\t%d\t%.1fd\t%d\t%v\t\n", s.name, l.spread, l.rotations(), l.oldest.Hours()/24, l.overdue, l.busiest())
		}
		if s.name == imported && figure != "" {
			if err := os.WriteFile(figure, draw(before, after), 0o644); err != nil {
				return err
			}
		}
	}
	return table.Flush()
}

// life is the history of a fleet.
type life struct {
	spread  rotator.Spread
	nights  []int         // rotations by schedule, per night
	oldest  time.Duration // maximum age of a password
	overdue int           // maximum number of tenants at one time
}

func (l life) rotations() int {
	sum := 0
	for _, n := range l.nights {
		sum += n
	}
	return sum
}

// busiest is the largest number of rotations in a night, for each half-year.
func (l life) busiest() []int {
	const half = 365.0 / 2
	most := make([]int, int(float64(len(l.nights))/half))
	for night, n := range l.nights {
		i := min(int(float64(night)/half), len(most)-1)
		most[i] = max(most[i], n)
	}
	return most
}
