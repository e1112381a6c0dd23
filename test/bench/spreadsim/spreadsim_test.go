package main

import (
	"bytes"
	"fmt"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"

	"mailu-rotator/rotator"
)

func spread(t *testing.T, text string) rotator.Spread {
	t.Helper()
	s, err := rotator.ParseSpread(text)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// The seed is fixed, so these numbers are exact. An even share of 10,000 tenants in 180
// nights is 56 per night.
func TestTheWaveOfAnImportDissolves(t *testing.T) {
	s := scenarios(10_000, 6)[0]

	before, after := s.live(rotator.Spread{}), s.live(spread(t, "10%"))

	if got := before.busiest(); slices.Min(got) < 5_000 {
		t.Errorf("without a spread it dissolves by itself: %v", got)
	}
	if got, want := after.busiest(), []int{642, 426, 310, 238, 188, 164, 136, 126, 123, 117, 113, 105}; !slices.Equal(got, want) {
		t.Errorf("busiest nights: got %v, want %v", got, want)
	}
	if more := float64(after.rotations()) / float64(before.rotations()); more > 1.02 {
		t.Errorf("%.3f times as many rotations", more)
	}
}

// The picture and the first line of the table must be this planner's. The rest of the
// table is the output of `make wave`.
func TestTheDocumentsShowThisWave(t *testing.T) {
	s := scenarios(100_000, 2)[0]
	before, after := s.live(rotator.Spread{}), s.live(spread(t, "10%"))

	shown, err := os.ReadFile("../../../docs/images/wave.svg")
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(draw(before, after), shown) {
		t.Error("docs/images/wave.svg is of another planner: make wave")
	}
	page, err := os.ReadFile("../../../docs/performance.md")
	if err != nil {
		t.Fatal(err)
	}
	line := fmt.Sprintf("| %s | %s | %s |", s.name, listed(before.busiest()), listed(after.busiest()))
	if !strings.Contains(string(page), line) {
		t.Errorf("docs/performance.md does not have\n%s", line)
	}
}

func listed(numbers []int) string {
	words := make([]string, len(numbers))
	for i, n := range numbers {
		words[i] = thousands(n)
	}
	return strings.Join(words, ", ")
}

func TestNoScenarioMakesAPasswordOlderThanItsPolicyAndASweep(t *testing.T) {
	for _, s := range scenarios(2_000, 2) {
		if s.limit > 0 {
			s.limit = 120
		}

		l := s.live(spread(t, "10%"))

		allowed := 181*aDay + jitter + window
		if l.oldest > allowed || l.overdue > 0 {
			t.Errorf("%s: one got %s old, %d were overdue", s.name, l.oldest, l.overdue)
		}
	}
}

// TestOnlyWhoIsDueIsOfUseToThePlan: the calendar, which makes the simulation fast,
// hides nothing from the plan.
func TestOnlyWhoIsDueIsOfUseToThePlan(t *testing.T) {
	s := scenario{name: "everything", days: 365, atOnce: 200, aged: 200, daily: 1, mixed: true, limit: 8, emergency: 50, down: [2]int{176, 181}}
	quick, whole := newFleet(s), newFleet(s)
	whole.whole = true

	a, b := s.let(quick, spread(t, "10%")), s.let(whole, spread(t, "10%"))

	if !reflect.DeepEqual(a, b) {
		t.Errorf("got %v, the whole fleet shown %v", a, b)
	}
}
