package sweep_test

import (
	"fmt"
	"runtime"
	"testing"
	"time"

	"mailu-rotator/crypto"
	"mailu-rotator/rotator/rotatortest"
	"mailu-rotator/rotator/sweep"
)

// core is one processor, shared in slices by all who compute on it.
type core chan struct{}

func (c core) compute(d time.Duration) {
	const slice = 5 * time.Millisecond
	for ; d > 0; d -= slice {
		c <- struct{}{}
		time.Sleep(slice)
		<-c
	}
}

// A Mailu server on one core hashes each password for 300 ms; this host, on another
// core, derives a key and checks the hash in less time. So the server is the
// bottleneck, and must be busy from the canary's commit to the last push.
func TestAServerIsNeverIdleWhileWorkIsQueued(t *testing.T) {
	const tenants, hashing, checking, deriving = 60, 300 * time.Millisecond, 220 * time.Millisecond, 50 * time.Millisecond
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	for _, width := range []int{1, 2, 4, 8} {
		t.Run(fmt.Sprintf("%d at a time", width), func(t *testing.T) {
			inFleet(t, func(t *testing.T, f *fleet) {
				f.add(serverA, upTo(tenants)...)
				f.mailu.Width = width
				host, mailu, requests := make(core, 1), make(core, 1), make(chan struct{}, width)
				f.mailu.Checking = func() { host.compute(checking) }
				f.sweep.NewPassword = func() (crypto.Secret, error) {
					host.compute(deriving)
					return f.newPassword()
				}
				f.fault = func(c rotatortest.Call) rotatortest.Fault {
					if c.User == "" {
						time.Sleep(time.Millisecond) // Vault's response time
						return rotatortest.Fault{}
					}
					requests <- struct{}{}
					defer func() { <-requests }()
					if c.Op == rotatortest.OpSetPassword {
						mailu.compute(hashing)
					} else {
						mailu.compute(5 * time.Millisecond)
					}
					return rotatortest.Fault{}
				}

				f.run(t, sweep.Selection{})

				least := tenants * (hashing + 10*time.Millisecond)
				took := time.Since(f.began)
				t.Logf("%s for %d tenants, %.2f times the pushes alone", took, tenants, took.Seconds()/(tenants*hashing).Seconds())
				if most := least*106/100 + time.Duration(2*width)*checking; took > most {
					t.Errorf("%s, want %s at most", took, most)
				}
			})
		})
	}
}
