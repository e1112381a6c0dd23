// Command wave shows what rotation.spread makes of tenants that were imported,
// or rotated, on one day: it lets simulated fleets live for years, and prints
// how many rotations each night has, without a spread and with one. `make wave`
// runs it, and draws the figure in docs/performance.md.
//
// Who is due, when, and in what order is decided by the program's own code:
// [rotator.Plan], [rotator.Credential.DueAt] and [rotator.Status.Standing]. Only
// the days are made here, and what a rotation leaves in a record. Chance begins
// with the same number every time, so that two runs have the same result.
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

// show prints what becomes of each story without the spread and with it.
func show(out io.Writer, tenants, years int, spread rotator.Spread, figure string) error {
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintf(table, "%d tenants, %d years, 180_days\tspread\trotations\toldest\toverdue\tbusiest night of each half-year\t\n", tenants, years)
	for _, s := range stories(tenants, years) {
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

// life is what became of a fleet.
type life struct {
	spread  rotator.Spread
	nights  []int         // rotations by schedule, on each
	oldest  time.Duration // that a password got
	overdue int           // tenants at once, at most
}

func (l life) rotations() int {
	sum := 0
	for _, n := range l.nights {
		sum += n
	}
	return sum
}

// busiest is the most rotations of a night in each half-year.
func (l life) busiest() []int {
	const half = 365.0 / 2
	most := make([]int, int(float64(len(l.nights))/half))
	for night, n := range l.nights {
		i := min(int(float64(night)/half), len(most)-1)
		most[i] = max(most[i], n)
	}
	return most
}
