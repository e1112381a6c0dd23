package rotator

import (
	"errors"
	"fmt"
	"strings"
	"testing"
)

func TestTheStoreGivesNothingFromTheThirdReadOn(t *testing.T) {
	lost := Candidate{Err: fmt.Errorf("read: %w", ErrUnavailable)}
	s := &survey{}
	for n := 1; n <= maxUnread; n++ {
		if err := s.count(lost, 0); (err != nil) != (n == maxUnread) {
			t.Errorf("read %d: %v", n, err)
		}
	}
}

func TestOnlyFailuresInARowEndASurvey(t *testing.T) {
	damaged := Candidate{Err: errors.New("could not find version data")}
	s := &survey{}
	for range 3 {
		for range maxUnreadInARow - 1 {
			if err := s.count(damaged, s.reads); err != nil {
				t.Fatal(err)
			}
		}
		if err := s.count(Candidate{}, s.reads); err != nil {
			t.Fatal(err)
		}
	}
}

func TestNamesComeBackAsTheyWereListed(t *testing.T) {
	all := []string{"README", "", uuid{6: 0x40, 8: 0x80}.String(), strings.ToUpper(entryOf(250).Tenant), entryOf(3).Tenant, "../x"}
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
