package rotator

import "testing"

func TestOnlyARecordWithNothingOfOursIsWithdrawn(t *testing.T) {
	if withdrawal(map[string]any{fieldWithdrawn: "tenant 2", "note": "not ours"}) == nil {
		t.Error("a withdrawn record is not")
	}
	for _, field := range []string{FieldUsername, fieldPassword, fieldPending} {
		if withdrawal(map[string]any{fieldWithdrawn: "tenant 2", field: "set"}) != nil {
			t.Errorf("with %s", field)
		}
	}
	for _, winner := range []any{nil, "", 2} {
		if withdrawal(map[string]any{fieldWithdrawn: winner}) != nil {
			t.Errorf("by %v", winner)
		}
	}
}

func TestAnOpenAdditionLosesToTheSmallestID(t *testing.T) {
	open := func(name string) Candidate {
		return Candidate{Name: name, Credential: Credential{Pending: &Pending{}}}
	}
	tests := map[string]struct {
		others []Candidate
		want   string // "": none
	}{
		"the only one":           {nil, ""},
		"larger ones":            {[]Candidate{open("d"), open("e")}, ""},
		"several smaller ones":   {[]Candidate{open("b"), open("a"), open("d")}, "a"},
		"one that is not open":   {[]Candidate{open("a"), {Name: "d", Credential: Credential{Password: "sealed"}}}, "d"},
		"one that is unreadable": {[]Candidate{{Name: "d", Err: ErrMalformed}}, "d"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			got := ""
			if winner := beatenBy(true, "c", test.others); winner != nil {
				got = winner.Name
			}

			if got != test.want || beatenBy(false, "c", test.others) != nil {
				t.Errorf("loses to %q, want %q", got, test.want)
			}
		})
	}
}
