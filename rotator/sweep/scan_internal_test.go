package sweep

import (
	"errors"
	"fmt"
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
