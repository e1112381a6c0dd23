package rotator

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// narrow is a Mailu whose servers take one request at a time, so their lanes two
// tenants.
type narrow struct{ Mailu }

func (narrow) Server(Origin) (Server, error) { return narrowServer{}, nil }

type narrowServer struct{ Server }

func (narrowServer) MaxConcurrent() int { return 1 }

func TestWhoseDraftIsMadeNext(t *testing.T) {
	tests := []struct {
		name   string
		offers string // server and day of birth, as they are read
		want   string
	}{
		{"the oldest, as many as the lane takes", "a4 a2 a3 a1", "a1 a2"},
		{"of each server, canaries first", "a1 a2 b3 b4", "a1 b3 a2 b4"},
		{"of one age, by name", "a1w a1x a1v", "a1v a1w"},
		{"nobody", "", ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			d := &drafts{
				run:    &run{Sweep: &Sweep{Mailu: narrow{}}, clock: SystemClock{}},
				oldest: map[Origin][]Candidate{}, made: map[TenantID]draft{},
			}
			for _, offer := range strings.Fields(test.offers) {
				d.offer(Candidate{Name: offer, Credential: Credential{
					Tenant: TenantID(offer), Origin: Origin(offer[:1]), LastRotated: fmt.Sprintf("2001-01-0%cT00:00:00Z", offer[1]),
				}})
			}

			var got []string
			for tenant, ok := d.next(); ok; tenant, ok = d.next() {
				got = append(got, string(tenant))
			}

			if want := strings.Fields(test.want); !inTurns(got, want) {
				t.Errorf("got %v, want %v", got, want)
			}
		})
	}
}

// inTurns lets the servers come in any order, of the canaries and of the rest.
func inTurns(got, want []string) bool {
	if len(got) != len(want) {
		return false
	}
	for half := range slices.Chunk(got, max(len(got)/2, 1)) {
		slices.Sort(half)
	}
	return slices.Equal(got, want)
}
