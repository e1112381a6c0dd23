package sweep_test

import (
	"context"
	"testing"
	"time"

	"mailu-rotator/crypto"
	"mailu-rotator/rotator"
	"mailu-rotator/rotator/rotatortest"
	"mailu-rotator/rotator/sweep"
)

// A push that takes effect after its claim could undo a rotation of another process, so
// its time limit ends a tenth of the claim before the claim does.
func TestAPushEndsATenthOfItsClaimBeforeTheClaim(t *testing.T) {
	for name, arrange := range map[string]func(*testing.T, *fleet){
		"of a new rotation": func(*testing.T, *fleet) {},
		"after a take-over": func(t *testing.T, f *fleet) { f.leave(t, 1, "a dead process", f.began) },
		"with an old claim": func(t *testing.T, f *fleet) {
			f.fault = func(c rotatortest.Call) rotatortest.Fault {
				if c.Op == rotatortest.OpWrite && len(f.of(rotatortest.OpWrite)) == 1 {
					time.Sleep(ttl * 4 / 10) // the claim is valid, with 6 tenths of its time left
				}
				return rotatortest.Fault{}
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			inFleet(t, func(t *testing.T, f *fleet) {
				f.add(serverA, 1)
				arrange(t, f)
				var deadlines []time.Time
				f.sweep.Mailu = timedPushes{f.mailu, &deadlines}

				f.run(t, sweep.Selection{})

				fields, _ := f.store.Get(string(tenant(1)))
				if fields["pending"] != nil || len(deadlines) != 1 {
					t.Fatalf("%d pushes, pending %v", len(deadlines), fields["pending"])
				}
				if want := f.lastClaim(t, 1).Add(-ttl / 10); !deadlines[0].Equal(want) {
					t.Errorf("the push may last until %v, want %v", deadlines[0], want)
				}
			})
		})
	}
}

// lastClaim returns the end of the tenant's last claim.
func (f *fleet) lastClaim(t *testing.T, n int) (until time.Time) {
	t.Helper()
	_, newest := f.store.Get(string(tenant(n)))
	doc, err := f.store.ReadVersion(t.Context(), tenant(n), newest-1)
	if err != nil {
		t.Fatal(err)
	}
	until, err = time.Parse(time.RFC3339, doc.Fields["pending"].(map[string]any)["claimed_until"].(string))
	if err != nil {
		t.Fatal(err)
	}
	return until
}

// timedPushes records the deadline of each push; the zero time without one.
type timedPushes struct {
	rotator.Mailu
	deadlines *[]time.Time
}

type timedServer struct {
	rotator.Server
	deadlines *[]time.Time
}

func (m timedPushes) Server(origin rotator.Origin) (rotator.Server, error) {
	server, err := m.Mailu.Server(origin)
	return timedServer{server, m.deadlines}, err
}

func (s timedServer) SetPassword(ctx context.Context, user string, password crypto.Secret) error {
	deadline, _ := ctx.Deadline()
	*s.deadlines = append(*s.deadlines, deadline)
	return s.Server.SetPassword(ctx, user, password)
}
