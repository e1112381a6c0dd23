package sweep

import (
	"fmt"
	"testing"

	"mailu-rotator/rotator"
)

func TestDuplicatesAreTenantsWithTheSameUser(t *testing.T) {
	const tenants = 800
	d := newDuplicates(tenants + 3)
	for n := range tenants {
		d.note(n, rotator.Candidate{Credential: rotator.Credential{Origin: "https://mail.example", Username: fmt.Sprintf("u%d@x.example", n%(tenants-2))}})
	}
	d.note(tenants, rotator.Candidate{Credential: rotator.Credential{Origin: "https://other.example", Username: "u5@x.example"}})
	d.note(tenants+1, rotator.Candidate{}) // two without a user
	d.note(tenants+2, rotator.Candidate{})

	if got, want := fmt.Sprint(d.places()), fmt.Sprint([]int{0, 1, tenants - 2, tenants - 1}); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if n := d.count(rotator.Candidate{Credential: rotator.Credential{Origin: "https://mail.example", Username: "U1@x.example"}}); n != 2 {
		t.Errorf("%d tenants have the user, want 2", n)
	}
	if n := d.count(rotator.Candidate{}); n != 0 {
		t.Errorf("%d tenants have no user, want 0", n)
	}
}
