package sweep_test

import (
	"fmt"
	"testing"
	"time"

	"mailu-rotator/rotator"
	"mailu-rotator/rotator/rotatortest"
	"mailu-rotator/rotator/sweep"
)

// checks counts the hashes that were checked with a password.
func (f *fleet) checks() (n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, c := range f.calls {
		if c.Op == rotatortest.OpVerify {
			n++
		}
	}
	return n
}

// inProvenFleet has a fleet of one tenant that was rotated, so that its record has a proof. It
// waits until the tenant's hash is not in the sample of the day.
func inProvenFleet(t *testing.T, f func(*testing.T, *fleet)) {
	t.Helper()
	inFleet(t, func(t *testing.T, fl *fleet) {
		fl.add(serverA, 1)
		if _, err := fl.sweep.Run(t.Context(), sweep.Selection{All: true}, 0); err != nil {
			t.Fatal(err)
		}
		if fields, _ := fl.store.Get(string(tenant(1))); fields["proof"] == nil {
			t.Fatal("the record has no proof")
		}
		for day := 0; ; day++ {
			before := fl.checks()
			fl.verify(t, false)
			if fl.checks() == before {
				break
			}
			if day == 2 {
				t.Fatal("a proven hash is checked every day")
			}
			time.Sleep(24 * time.Hour)
		}
		fl.mu.Lock()
		fl.calls = nil
		fl.mu.Unlock()
		f(t, fl)
	})
}

func TestAProvenHashIsNotCheckedAgain(t *testing.T) {
	inProvenFleet(t, func(t *testing.T, f *fleet) {
		before := f.store.Derivations()

		v := f.verify(t, false)

		if v.Findings[0].State != rotator.StateOK || f.checks() != 0 || f.store.Derivations() != before {
			t.Errorf("%+v after %d checks and %d derivations", v.Findings[0], f.checks(), f.store.Derivations()-before)
		}
	})
}

func TestAFullVerificationChecksEveryHash(t *testing.T) {
	inProvenFleet(t, func(t *testing.T, f *fleet) {
		f.sweep.Full = true

		v := f.verify(t, false)

		if v.Findings[0].State != rotator.StateOK || f.checks() != 1 {
			t.Errorf("%+v after %d checks, want 1", v.Findings[0], f.checks())
		}
	})
}

func TestAVerificationWritesNoProof(t *testing.T) {
	inFleet(t, func(t *testing.T, f *fleet) {
		f.sealed(t, 1, "known")
		_, version := f.store.Get(string(tenant(1)))

		for range 2 {
			if v := f.verify(t, false); v.Findings[0].State != rotator.StateOK {
				t.Errorf("%+v", v.Findings[0])
			}
		}

		if _, now := f.store.Get(string(tenant(1))); now != version || f.checks() != 2 {
			t.Errorf("version %d became %d, and the hash was checked %d times, want 2", version, now, f.checks())
		}
	})
}

// What differs although the record has a proof is found as it would be without one.
func TestDriftIsFoundDespiteTheProof(t *testing.T) {
	tests := []struct {
		name   string
		change func(*testing.T, *fleet)
		want   rotator.State
	}{
		{"another password in Mailu", func(_ *testing.T, f *fleet) { f.mailu.AddUser(userOf(1), "by hand") }, rotator.StateDrift},
		{"the same password, hashed again", func(_ *testing.T, f *fleet) { f.mailu.AddUser(userOf(1), f.mailu.Password(userOf(1))) }, rotator.StateOK},
		{"another sealed string", func(t *testing.T, f *fleet) { f.setCurrent(t, 1, "by hand") }, rotator.StateDrift},
		{"another date", func(_ *testing.T, f *fleet) {
			f.edit(1, func(fields map[string]any) { fields["last_rotated"] = "2020-01-01T00:00:00Z" })
		}, rotator.StateUnreadable},
		{"another key version", func(_ *testing.T, f *fleet) { f.edit(1, func(fields map[string]any) { fields["key_version"] = 7 }) }, rotator.StateUnreadable},
		{"another proof", func(_ *testing.T, f *fleet) {
			f.edit(1, func(fields map[string]any) { fields["proof"] = "bm90IGEgcHJvb2Y=" })
		}, rotator.StateOK},
		{"a proof that is no string", func(_ *testing.T, f *fleet) { f.edit(1, func(fields map[string]any) { fields["proof"] = 1 }) }, rotator.StateOK},
		{"no such user", func(_ *testing.T, f *fleet) {
			f.fault = rotatortest.On(rotatortest.OpHash, rotatortest.Fault{Before: fmt.Errorf("%w: %w", rotator.ErrUnknownUser, rotator.ErrUnverifiable)})
		}, rotator.StateUnknownUser},
		{"no answer", func(_ *testing.T, f *fleet) {
			f.fault = rotatortest.On(rotatortest.OpHash, rotatortest.Fault{Before: rotatortest.ErrLost})
		}, rotator.StateUnreachable},
		{"not to be asked any more", func(_ *testing.T, f *fleet) { f.mailu.Unverified = true }, rotator.StateUnproven},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			inProvenFleet(t, func(t *testing.T, f *fleet) {
				test.change(t, f)

				v := f.verify(t, false)

				if v.Findings[0].State != test.want {
					t.Errorf("%+v, want %s", v.Findings[0], test.want)
				}
			})
		})
	}
}

// A password that Mailu holds and nothing has proven yet must not keep the proof of the
// former one.
func TestAProofBelongsToItsPassword(t *testing.T) {
	tests := []struct {
		name string
		act  func(*testing.T, *fleet)
	}{
		{"a rotation without verification", func(t *testing.T, f *fleet) {
			f.mailu.Unverified = true
			if _, err := f.sweep.Run(t.Context(), sweep.Selection{All: true}, 0); err != nil {
				t.Fatal(err)
			}
		}},
		{"a reseal", func(t *testing.T, f *fleet) {
			f.edit(1, func(fields map[string]any) { delete(fields, "key_version") })
			mustEnd(t, f.reseal(t, sweep.Selection{}), "1 resealed")
		}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			inProvenFleet(t, func(t *testing.T, f *fleet) {
				former, version := f.store.Get(string(tenant(1)))
				time.Sleep(time.Hour)

				test.act(t, f)

				now, written := f.store.Get(string(tenant(1)))
				if written == version || now["password"] == former["password"] || now["proof"] != nil {
					t.Errorf("version %d: the proof %v stays", written, now["proof"])
				}
			})
		})
	}
}

// Each tenant has its day for a whole verification, once in fifty.
func TestEveryTenantIsSampledInFiftyDays(t *testing.T) {
	inProvenFleet(t, func(t *testing.T, f *fleet) {
		for range 50 {
			time.Sleep(24 * time.Hour)
			f.verify(t, false)
		}

		if f.checks() != 1 {
			t.Errorf("the hash was checked %d times in 50 days, want once", f.checks())
		}
	})
}
