package rotator_test

import (
	"context"
	"errors"
	"iter"
	"strings"
	"sync"
	"testing"
	"time"

	"mailu-rotator/crypto"
	"mailu-rotator/rotator"
	"mailu-rotator/rotator/rotatortest"
)

// listedLast lists tenant 390, who is not due, a minute after so many others: time
// enough for every draft.
func (f *fleet) listedLast(others int) {
	f.add(serverA, 390)
	f.store.Listed = func(i int) error {
		if i == others {
			time.Sleep(time.Minute)
		}
		return nil
	}
}

func TestKeysAreDerivedWhileRecordsAreRead(t *testing.T) {
	inFleet(t, func(t *testing.T, f *fleet) {
		f.add(serverA, 1, 2)
		f.add(serverB, 3)
		f.listedLast(3)

		f.run(t, rotator.Selection{})

		if n := f.store.Derivations(); n != 3 {
			t.Errorf("%d derivations for 3 rotations", n)
		}
		for _, n := range []int{1, 2, 3} {
			fields, _ := f.store.Get(string(tenant(n)))
			if made := fields["last_rotated"]; made != f.began.UTC().Format("2006-01-02T15:04:05.000Z") {
				t.Errorf("the password of tenant %d was made at %s, a minute before the survey's end is %s", n, made, f.began)
			}
			if begun := f.of(rotatortest.OpKnows, n)[0].at; begun != time.Minute {
				t.Errorf("tenant %d was begun after %s", n, begun)
			}
		}
		f.mustRest(t, 1, 2, 3, 390)
	})
}

// Twice a server's requests at a time is what its lane takes.
func TestDraftsAreForWhoIsTheOldestByThen(t *testing.T) {
	tests := []struct {
		name string
		aged func(n int) int
		want int
	}{
		{"listed by age", func(n int) int { return n }, 4},
		{"listed by age, the youngest first", func(n int) int { return 11 - n }, 10},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			inFleet(t, func(t *testing.T, f *fleet) {
				for n := 1; n <= 10; n++ {
					f.add(serverA, n)
					f.store.Edit(string(tenant(n)), func(fields map[string]any) {
						fields["last_rotated"] = f.began.AddDate(0, 0, test.aged(n)-400).Format(time.RFC3339)
					})
				}
				f.mailu.Width = 2
				drafts := 0
				f.store.Listed = func(int) error {
					time.Sleep(time.Second)
					drafts = f.passwords()
					return nil
				}
				f.add(serverB, 390)

				f.run(t, rotator.Selection{})

				if drafts != test.want {
					t.Errorf("%d drafts, want %d", drafts, test.want)
				}
			})
		})
	}
}

// What is drafted may be for nobody in the end.
func TestDraftsThatNobodyTakesAreWiped(t *testing.T) {
	tests := []struct {
		name   string
		happen func(f *fleet)
		fails  bool
	}{
		{"a rival at the end of the list", func(f *fleet) {
			f.store.Edit(string(tenant(390)), func(fields map[string]any) { fields["username"] = userOf(1) })
		}, false},
		{"the list breaks off", func(f *fleet) {
			before := f.store.Listed
			f.store.Listed = func(i int) error {
				if err := before(i); err != nil || i < 2 {
					return err
				}
				return rotatortest.ErrLost
			}
		}, true},
		{"the server's token is refused", func(f *fleet) {
			f.fault = failing(rotator.ErrServerUnusable, 1, 2)
		}, false},
		{"all goes well", func(*fleet) {}, false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			inFleet(t, func(t *testing.T, f *fleet) {
				f.add(serverA, 1, 2)
				f.listedLast(2)
				test.happen(f)
				made := f.keepPasswords()

				_, err := f.sweep.Run(t.Context(), rotator.Selection{}, 0)

				if (err != nil) != test.fails || len(*made) != 2 {
					t.Errorf("got %v, %d passwords", err, len(*made))
				}
				for _, password := range *made {
					if !password.Empty() {
						t.Error("a password outlives the run")
					}
				}
				f.mustRest(t, 390)
			})
		})
	}
}

func TestADraftThatIsBeingMadeWhenTheSurveyEndsIsWaitedFor(t *testing.T) {
	inFleet(t, func(t *testing.T, f *fleet) {
		f.add(serverA, 1, 390)
		f.store.Listed = listing(time.Second)
		f.sweep.NewPassword = func() (crypto.Secret, error) {
			time.Sleep(3 * time.Second) // tenant 1 is listed after one, the survey over after two
			return f.newPassword()
		}

		f.run(t, rotator.Selection{})

		if n := f.passwords(); n != 1 {
			t.Errorf("%d passwords for one rotation", n)
		}
		if begun := f.of(rotatortest.OpKnows, 1)[0].at; begun != 4*time.Second {
			t.Errorf("begun after %s", begun)
		}
	})
}

func TestADraftForATenantThatAnotherProcessRotatesIsNotUsed(t *testing.T) {
	inFleet(t, func(t *testing.T, f *fleet) {
		f.add(serverA, 1)
		f.listedLast(1)
		var other rotator.Report
		var done sync.WaitGroup
		done.Go(func() {
			time.Sleep(time.Second)
			process := f.process(t, "another process")
			process.Store = lists{f.store, []string{string(tenant(1))}} // at once
			other, _ = process.Run(t.Context(), rotator.Selection{Tenants: []rotator.TenantID{tenant(1)}}, 0)
		})

		report := f.run(t, rotator.Selection{})

		done.Wait()
		mustEnd(t, other, "1 rotated")
		mustEnd(t, report, "1 fresh, 390 fresh")
		f.mustRest(t, 1)
	})
}

// lists is a store that lists these names, at once.
type lists struct {
	rotator.Store
	names []string
}

func (s lists) List(context.Context) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		for _, name := range s.names {
			if !yield(name, nil) {
				return
			}
		}
	}
}

func TestADraftThatCannotBeMadeIsToldWhenItsTurnComes(t *testing.T) {
	inFleet(t, func(t *testing.T, f *fleet) {
		f.add(serverA, 1)
		f.listedLast(1)
		f.sweep.NewPassword = func() (crypto.Secret, error) { return crypto.Secret{}, errors.New("no such alphabet") }

		report := f.run(t, rotator.Selection{})

		mustEnd(t, report, "1 failed, 390 fresh")
		if reason := report.Rows[0].Reason; !strings.Contains(reason, "no such alphabet") {
			t.Errorf("it says %q", reason)
		}
		f.mustRest(t, 1)
	})
}

func (f *fleet) passwords() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.made
}

// keepPasswords shows the passwords that are made from now on.
func (f *fleet) keepPasswords() *[]crypto.Secret {
	var made []crypto.Secret
	f.sweep.NewPassword = func() (crypto.Secret, error) {
		password, err := f.newPassword()
		f.mu.Lock()
		defer f.mu.Unlock()
		made = append(made, password)
		return password, err
	}
	return &made
}
