package rotator

import (
	"errors"
	"fmt"
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

// Whose hash begins with what digit is chance: of so many users every digit is met.
func TestRivalsAreFoundWhateverTheirHash(t *testing.T) {
	const users = 400
	r := newRivals()
	for i := range 2 * users {
		r.note(i, Candidate{Credential: Credential{Username: fmt.Sprintf("admin@d%d.example", i/2), Origin: "https://mail.example.com"}})
	}
	if n := len(r.found()); n != 2*users {
		t.Errorf("%d of %d places are found", n, 2*users)
	}
}
