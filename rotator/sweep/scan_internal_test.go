package sweep

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"mailu-rotator/rotator"
)

func TestTheStoreGivesNothingFromTheThirdReadOn(t *testing.T) {
	lost := rotator.Candidate{Err: fmt.Errorf("read: %w", rotator.ErrUnavailable)}
	s := &fleetScan{}
	for n := 1; n <= maxUnread; n++ {
		if err := s.count(lost, 0); (err != nil) != (n == maxUnread) {
			t.Errorf("read %d: %v", n, err)
		}
	}
}

func TestOnlyFailuresInARowEndASurvey(t *testing.T) {
	damaged := rotator.Candidate{Err: errors.New("could not find version data")}
	s := &fleetScan{}
	for range 3 {
		for range maxUnreadInARow - 1 {
			if err := s.count(damaged, s.reads); err != nil {
				t.Fatal(err)
			}
		}
		if err := s.count(rotator.Candidate{}, s.reads); err != nil {
			t.Fatal(err)
		}
	}
}

func TestNamesComeBackAsTheyWereListed(t *testing.T) {
	const id = "a0000003-5eed-4000-8000-00000000000b"
	all := []string{"README", "", rotator.UUID{6: 0x40, 8: 0x80}.String(), strings.ToUpper(id), id, "../x"}
	var n names
	for _, name := range all {
		n.add(name)
	}

	for i, want := range all {
		if got := n.at(i); got != want {
			t.Errorf("name %d is %q, want %q", i, got, want)
		}
	}
}
