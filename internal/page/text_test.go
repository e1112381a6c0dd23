package page

import (
	"strings"
	"testing"
	"time"
)

func TestWordsAreTheLargestUnitThatTellsSomething(t *testing.T) {
	tests := map[time.Duration]string{
		0: "0 seconds", time.Second: "1 second", 59 * time.Second: "59 seconds", time.Minute: "1 minute", 119 * time.Minute: "119 minutes",
		2 * time.Hour: "2 hours", 47 * time.Hour: "47 hours", 48 * time.Hour: "2 days", -36 * time.Hour: "36 hours", 2500 * day: "2,500 days",
	}
	for d, want := range tests {
		if got := words(d); got != want {
			t.Errorf("%s is %q, want %q", d, got, want)
		}
	}
}

func TestMomentsAreRelativeToNow(t *testing.T) {
	now := time.Date(2026, 11, 25, 0, 0, 0, 0, time.UTC)
	for d, want := range map[time.Duration]string{0: "now", time.Hour: "in 60 minutes", -3 * day: "3 days ago"} {
		if got := (moment{At: now.Add(d), Now: now}).Relative(); got != want {
			t.Errorf("%s is %q, want %q", d, got, want)
		}
	}
	berlin := time.FixedZone("CET", 3600)
	if got := (moment{At: now.In(berlin)}).Absolute(); got != "2026-11-25 00:00" {
		t.Errorf("got %s, which is not UTC", got)
	}
}

func TestNumbersHaveTheirThousandsApart(t *testing.T) {
	for n, want := range map[int]string{0: "0", 999: "999", 1000: "1,000", 1234567: "1,234,567", -1000: "-1,000"} {
		if got := number(n); got != want {
			t.Errorf("%d is %q, want %q", n, got, want)
		}
	}
}

func TestShadesGrowWithTheCount(t *testing.T) {
	for _, highest := range []int{1, 2, 3, 50, 10_000} {
		last := 0
		for n := range highest + 1 {
			level := shade(n, highest)
			if level < last || level > levels || (level == 0) != (n == 0) {
				t.Fatalf("%d of %d has the shade %d, after %d", n, highest, level, last)
			}
			last = level
		}
		if last != levels {
			t.Errorf("the busiest day of %d has the shade %d", highest, last)
		}
	}
}

func TestTheWeekBeginsOnMonday(t *testing.T) {
	monday := time.Date(2026, 11, 23, 0, 0, 0, 0, time.UTC)
	for i := range 7 {
		if got := weekday(monday.AddDate(0, 0, i)); got != i {
			t.Errorf("%s is %d, want %d", monday.AddDate(0, 0, i).Weekday(), got, i)
		}
	}
}

func TestAReasonIsCutBetweenWords(t *testing.T) {
	for in, want := range map[string]string{
		"short enough":              "short enough",
		strings.Repeat("word ", 90): strings.TrimSpace(strings.Repeat("word ", 80)) + " …",
		strings.Repeat("x", 350) + " " + strings.Repeat("y", 100): strings.Repeat("x", 350) + " …",
		strings.Repeat("without-a-space", 40):                     strings.Repeat("without-a-space", 40)[:400] + " …",
	} {
		if got := reason(in); got != want {
			t.Errorf("%.20s…: got %q", in, got)
		}
	}
}
